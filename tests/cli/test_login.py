"""Tests of signing in and out on the command line, and of choosing a workspace."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from tests.cli.person import Person
from tests.support.cluster import Team

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture
def newcomer(tmp_path: Path) -> Person:
    """Somebody whose config folder is empty."""
    return Person(tmp_path / "newcomer")


def test_a_code_that_a_person_confirms_signs_in(newcomer: Person, fresh: Team) -> None:
    url = fresh.cluster.urls[0]
    with newcomer.start("login", "--url", url) as running:
        assert running.stderr is not None
        said = running.stderr.readline() + running.stderr.readline()
        code = re.search(r"code (\S+)", said)
        assert code is not None
        assert f"{url}/#device=" in said
        fresh.owner("POST", "/api/device/approve", {"userCode": code[1]})
        out, _ = running.communicate(timeout=20)
        assert running.returncode == 0
        assert out.startswith(f"signed in at {url} as ")
    file = newcomer.folder / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert kept["current"] == url
    assert set(kept[url]["nodes"]) == set(fresh.cluster.urls)
    assert newcomer.json("list", "--workspace", fresh.workspace)["machines"] == []


def test_a_token_from_standard_input_signs_in_and_out(newcomer: Person, fresh: Team) -> None:
    member = fresh.person("Mia", "member")
    url = fresh.cluster.urls[0]
    done = newcomer.run("login", "--url", url, "--token-stdin", stdin=member.token.encode() + b"\n")
    assert done.stdout == f"signed in at {url} as Mia\n"
    assert newcomer.json("list")["machines"] == []
    assert newcomer.run("logout").stdout == f"signed out at {url}\n"
    newcomer.run("list", code=77)
    member("GET", "/api/me", status=401)
    assert newcomer.run("logout").stdout == "you are not signed in\n"


def test_a_one_time_link_from_standard_input_signs_in(newcomer: Person, fresh: Team) -> None:
    link = fresh.person("Lin", "member")("POST", "/api/sign-in-links", {})["url"]
    newcomer.run("login", "--url", fresh.cluster.urls[0], "--token-stdin", stdin=link.encode())
    assert newcomer.json("list")["machines"] == []


def test_a_bad_token_is_not_kept(newcomer: Person, fresh: Team) -> None:
    newcomer.run("login", "--url", fresh.cluster.urls[0], "--token-stdin", stdin=b"rly_pat_wrong", code=77)
    newcomer.run("login", "--url", fresh.cluster.urls[0], "--token-stdin", stdin=b"", code=64)
    newcomer.run("list", code=77)


def test_without_an_address_login_asks_for_one(newcomer: Person) -> None:
    assert "--url" in newcomer.run("login", code=78).stderr
    assert "address" in newcomer.run("login", "--url", "ftp://x", code=78).stderr


def test_a_workspace_is_made_listed_and_used(newcomer: Person, fresh: Team) -> None:
    member = fresh.person("Wim", "member")
    newcomer.run("login", "--url", fresh.cluster.urls[0], "--token-stdin", stdin=member.token.encode())
    assert "second" in newcomer.run("workspace", "create", "second").stdout
    lines = newcomer.run("workspace", "list").stdout.splitlines()
    assert next(line for line in lines if line.endswith("*")).startswith("second")
    listed = newcomer.json("workspace", "list")
    first = next(each for each in listed["workspaces"] if each["name"] != "second")
    assert newcomer.run("connect", "workspace", "use", first["name"].upper()).stdout.startswith("using workspace")
    assert newcomer.json("workspace", "list")["active"] == first["id"]
    newcomer.run("workspace", "use", "nowhere", code=66)
    newcomer.run("workspace", "use", first["id"][:8])


def test_with_several_workspaces_and_none_chosen_the_way_to_choose_is_said(newcomer: Person, fresh: Team) -> None:
    done = newcomer.run("login", "--url", fresh.cluster.urls[0], "--token-stdin", stdin=fresh.owner.token.encode())
    assert "relay workspace use" in done.stdout
    newcomer.run("machines", "show", "anything", code=64)


def test_a_token_of_the_environment_keeps_no_workspace(fresh: Team, tmp_path: Path) -> None:
    person = Person(tmp_path, fresh.cluster.urls, fresh.owner.token)
    assert "RELAY_WORKSPACE" in person.run("workspace", "use", fresh.workspace, code=77).stderr


def test_a_secret_may_come_from_a_file(fresh: Team, tmp_path: Path) -> None:
    person = Person(tmp_path, fresh.cluster.urls, workspace=fresh.workspace)
    file = tmp_path / "token"
    file.write_text(fresh.owner.token + "\n")
    person.run("list", RELAY_TOKEN_FILE=str(file))
    assert "cannot be read" in person.run("list", RELAY_TOKEN_FILE="/nowhere", code=78).stderr
