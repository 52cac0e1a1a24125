"""Tests of what `relay list` prints, and of what it imports to do so."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from relay.cli.listing import COLUMNS, row
from tests.cli.person import Person
from tests.support.cluster import Team

pytestmark = pytest.mark.xdist_group("cli")

NOW = "2026-11-22T12:00:00.000Z"
# Each costs more than the rest of the list together.
HEAVY = (
    "redis",
    "sqlalchemy",
    "starlette",
    "textual",
    "pydantic",
    "rich",
    "httpx2",
    "msgspec",
    "asyncio",
    "websockets",
)


def machine(**changes: Any) -> dict[str, Any]:
    fields = {
        "id": "8f23c1d2-0000-4000-8000-000000000000",
        "name": "mac-studio",
        "hostname": "mac-studio.local",
        "online": True,
        "heartbeatAgeSeconds": 4,
        "lastSeenAt": "2026-11-22T11:59:56.000Z",
        "activeSession": None,
    }
    return fields | changes


def test_a_row_is_as_in_the_contract() -> None:
    assert row(machine(), "8f23", NOW) == ("mac-studio", "mac-studio.local", "8f23…", "yes", "4s", "—")
    session = {"operator": {"user": "jane", "client": "bmw"}}
    shown = row(machine(heartbeatAgeSeconds=252, activeSession=session), "a142", NOW)
    assert shown[3:] == ("yes", "4m12s", "active (jane@bmw)")


def test_an_offline_machine_shows_when_it_was_last_seen() -> None:
    gone = machine(online=False, heartbeatAgeSeconds=None, lastSeenAt="2026-11-22T08:55:00.000Z")
    assert row(gone, "8f23", NOW)[3:5] == ("no", "3h05m")
    assert row(machine(online=False, heartbeatAgeSeconds=None, lastSeenAt=None), "8f23", NOW)[4] == "—"


def test_the_list_is_aligned_and_complete(owner: Person, fresh: Team) -> None:
    fresh.agent("alpha")
    fresh.agent("beta-with-a-long-name").stop()
    lines = owner.run("list").stdout.splitlines()
    assert lines[0].split() == list(COLUMNS)
    starts = [lines[0].index(column) for column in COLUMNS]
    for line in lines:
        assert all(line[start - 1] == " " and line[start] != " " for start in starts[1:])
    alpha, beta = (line.split() for line in lines[1:])
    assert re.fullmatch(r"[0-9a-f]{4,}…", alpha[2])
    assert alpha[0] == "alpha"
    assert alpha[3] == "yes"
    assert re.fullmatch(r"\d+s", alpha[4])
    assert beta[0] == "beta-with-a-long-name"
    assert beta[3] == "no"
    assert owner.run("connect", "--list").stdout.split()[:6] == list(COLUMNS)
    assert len(owner.run("list", "--online").stdout.splitlines()) == 2
    found = owner.json("connect", "--list", "--online")
    assert found["schema"] == 1
    assert [each["name"] for each in found["machines"]] == ["alpha"]
    assert owner.run("machines", "show", alpha[2]).stdout.startswith("id: ")


def test_an_empty_list_is_its_headings(owner: Person) -> None:
    assert owner.run("list").stdout.split() == list(COLUMNS)
    assert owner.json("list") == {"schema": 1, "machines": []}


def test_a_relay_that_is_not_there_is_one_line(tmp_path: Any) -> None:
    nobody = Person(tmp_path, ["http://127.0.0.1:9"], "token")
    done = nobody.run("list", code=75)
    assert done.stdout == ""
    assert done.stderr.startswith("relay: no node of the relay can be reached")
    assert done.stderr.count("\n") == 1


def test_whoever_is_not_signed_in_is_told_what_to_do(tmp_path: Any) -> None:
    assert "relay login" in Person(tmp_path).run("list", code=77).stderr
    assert "RELAY_URL" in Person(tmp_path, token="x").run("list", code=78).stderr
    assert "relay login --url" in Person(tmp_path, ["http://127.0.0.1:9"]).run("list", code=77).stderr


def test_the_list_imports_nothing_heavy(jane: Person) -> None:
    program = (
        "import sys\nfrom relay.cli import run\n"
        "assert run(['list']) == 0\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=jane.environ, capture_output=True, text=True, check=True, timeout=30
    )
    assert "mac-studio" in done.stdout
    assert set(done.stderr.split()).isdisjoint(HEAVY)
