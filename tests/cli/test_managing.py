"""Tests of the commands that manage a workspace: machines, keys, members, workspaces, sessions, audit, whoami."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.person import Person
from tests.support.cluster import Team

pytestmark = pytest.mark.xdist_group("cli")


def test_a_machine_is_shown_renamed_kicked_and_revoked(owner: Person, fresh: Team) -> None:
    agent = fresh.agent("old-name")
    assert owner.json("machines", "show", "old-name")["machine"]["name"] == "old-name"
    assert owner.run("machines", "rename", "old-name", "new-name").stdout == "old-name is called new-name now\n"
    assert owner.run("machines", "kick", "new-name").stdout == "kicked new-name\n"
    agent.says("  connected  node=", times=2)
    assert "connections closed: 1" in owner.run("machines", "revoke", "--yes", "new-name").stdout
    assert agent.ends() == 0
    owner.run("machines", "show", "new-name", code=66)


def test_revoking_asks_first(owner: Person, fresh: Team) -> None:
    fresh.agent("kept")
    owner.run("machines", "revoke", "kept", stdin=b"n\n", code=130)
    owner.run("machines", "show", "kept")


def test_a_revocation_is_said_once_more_by_id_and_not_to_the_machine_that_has_the_name_now(
    owner: Person, fresh: Team
) -> None:
    fresh.agent("lent")
    fresh.agent("lent")
    id = owner.json("machines", "show", "lent")["machine"]["id"]
    assert "connections closed: 1" in owner.run("machines", "revoke", "--yes", id).stdout
    assert id in owner.run("audit").stdout
    assert owner.run("machines", "revoke", "--yes", id).stdout == f"revoked {id}; connections closed: 0\n"
    heir = owner.json("machines", "show", "lent")["machine"]
    assert heir["id"] != id
    assert heir["connected"]
    owner.run("machines", "revoke", "--yes", "00000000-0000-4000-8000-000000000000", code=66)


def test_a_machine_of_a_person_is_hidden_and_shown(owner: Person, fresh: Team) -> None:
    member = fresh.person("Pia", "member")
    pia = Person(owner.folder.parent / "pia", fresh.cluster.urls, member.token, fresh.workspace)
    fresh.agent("of-pia", token=member("POST", "/api/tokens", {"name": "agent"})["token"])
    owner.run("machines", "show", "of-pia", code=66)
    assert pia.run("machines", "visibility", "of-pia", "shared").stdout == "of-pia is SHARED now\n"
    owner.run("machines", "show", "of-pia")
    assert pia.run("machines", "visibility", "of-pia", "PRIVATE").stdout == "of-pia is PRIVATE now\n"
    owner.run("machines", "show", "of-pia", code=66)


def test_a_name_that_was_taken_over_says_which_of_the_two_it_means(owner: Person, fresh: Team) -> None:
    fresh.agent("twin")
    fresh.agent("twin")
    done = owner.run("machines", "show", "twin")
    assert done.stderr.startswith("relay: twin is ")
    assert "before" in done.stderr
    assert done.stderr.count("\n") == 1


def test_several_matches_are_named(owner: Person, fresh: Team) -> None:
    fresh.agent("prod-1")
    fresh.agent("prod-2")
    done = owner.run("machines", "show", "prod", code=65)
    assert done.stderr == 'relay: ambiguous machine "prod" — matches: prod-1, prod-2\n'


def test_keys_are_made_listed_and_revoked(owner: Person) -> None:
    made = owner.run("keys", "create", "build boxes")
    assert made.stdout.startswith("rly_team_")
    assert "only time" in made.stderr
    listed = owner.run("keys", "list").stdout
    assert "build boxes" in listed
    assert made.stdout.strip() not in listed
    assert owner.json("keys", "create", "other")["key"]["token"].startswith("rly_team_")
    assert owner.run("keys", "revoke", "build boxes").stdout == "revoked key build boxes\n"
    assert [each["name"] for each in owner.json("keys", "list")["keys"] if each["name"] == "build boxes"] == []
    owner.run("keys", "revoke", "build boxes", code=66)


def test_members_are_invited_changed_and_removed(owner: Person, fresh: Team) -> None:
    made = owner.run("members", "invite", "--role", "viewer")
    assert "#invite=" in made.stdout
    fresh.person("Bob", "member")
    assert owner.run("members", "role", "bob", "admin").stdout == "Bob is admin now\n"
    roles = {each["user"]["name"]: each["role"] for each in owner.json("members", "list")["members"]}
    assert roles["Bob"] == "admin"
    assert "Bob" in owner.run("members", "list").stdout
    assert owner.run("members", "remove", "Bob").stdout.startswith("removed Bob")
    owner.run("members", "remove", "Bob", code=66)


def test_somebody_without_the_right_is_denied(owner: Person, fresh: Team, tmp_path: Path) -> None:
    viewer = Person(tmp_path / "v", fresh.cluster.urls, fresh.person("Vera", "viewer").token, fresh.workspace)
    assert viewer.run("keys", "create", "x", code=77).stderr.startswith("relay: ")


def test_the_audit_trail_says_who_did_what(owner: Person) -> None:
    owner.run("keys", "create", "audited")
    text = owner.run("audit").stdout
    assert "audited" in text
    assert owner.json("audit", "--limit", "1")["entries"][0]["action"]


def test_sessions_are_listed_shown_and_ended(owner: Person, fresh: Team) -> None:
    fresh.agent("busy")
    owner.run("exec", "busy", "--", "echo", "done")
    (session,) = owner.json("sessions", "list", "busy")["sessions"]
    assert "echo done" in owner.run("sessions", "list", "busy").stdout
    assert session["startedAt"].endswith("Z")
    assert owner.json("sessions", "show", "busy", session["id"][:8])["session"] == session
    owner.run("sessions", "end", "busy", session["id"][:8], code=66)


def test_whoami_finds_this_machine_by_its_hostname(owner: Person, fresh: Team) -> None:
    hostname = socket.gethostname()
    assert owner.json("whoami") == {
        "schema": 1, "matched": False, "hostname": hostname, "reason": "not in workspace"
    }  # fmt: skip
    fresh.agent("here")
    found = owner.json("whoami")
    assert found["matched"]
    assert found["machine_id"] == fresh.machine("here")["id"]
    assert found["machine_id"] in owner.run("whoami").stdout


def test_whoami_without_a_relay_still_answers(tmp_path: Path) -> None:
    nobody = Person(tmp_path, ["http://127.0.0.1:9"], "token")
    assert nobody.json("whoami") == {
        "schema": 1, "matched": False, "hostname": socket.gethostname(), "reason": "api unreachable"
    }  # fmt: skip
    assert Person(tmp_path / "x").json("whoami")["reason"] == "not signed in"
