"""Tests that the load tests run, small, and say what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.comeback import findings

pytestmark = pytest.mark.xdist_group("dev")


def test_a_small_fleet_beats_and_is_watched() -> None:
    words = ["picker", "--machines", "40", "--sockets", "4", "--browsers", "2", "--seconds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", *words], capture_output=True, text=True, check=False, timeout=90
    )
    found = json.loads(done.stdout)
    assert found["machines"] == 40
    assert found["sockets"]["welcomed"] == 4
    assert found["browsers"]["complete"] == 2
    assert found["browsers"]["goodbyeHeardMs"]["count"] == 4 * 2
    assert done.returncode == (99 if found["exceeded"] else 0)


@pytest.mark.parametrize("how", ["kill", "drain"])
def test_a_small_fleet_comes_back_from_a_lost_node_and_nobody_is_shown_offline(how: str, tmp_path: Path) -> None:
    file = tmp_path / "storm.json"
    # So few handshakes a second that a node has to tell some of those who come back when it is their turn.
    size = ["--machines", "200", "--nodes", "2", "--handshakes", "40" if how == "kill" else "2000"]
    times = ["--settle", "0", "--seconds", "3", "--drain-seconds", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", "comeback", "--how", how, *size, *times, "--json", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(file.read_text())["runs"]
    lost = found["lostNode"]["machines"]
    assert 0 < lost < 200
    assert found["agents"]["welcomedElsewhere"]["machines"] == found["recordedElsewhere"]["machines"] == lost
    assert found["atTheEnd"] == {"connectedAgents": 200, "heldBySurvivors": 200}
    assert found["watched"]["lists"] > 0
    assert found["watched"]["shownOffline"] == found["announcedOffline"] == 0
    moved, codes = found["agents"]["movedBeforeTheyLost"], found["agents"]["lostByCode"]
    assert moved + sum(codes.values()) == lost
    assert set(codes) <= ({"4200"} if how == "drain" else {"1006"})  # a drain interrupts only who cannot move in time
    assert (moved > 0) == (how == "drain")
    assert (found["agents"]["handshakesRefused"].get("503 with Retry-After", 0) > 0) == (how == "kill")


def test_a_fleet_that_is_shown_offline_or_does_not_come_back_fails_the_storm() -> None:
    good = {
        "watched": {"shownOffline": 0},
        "announcedOffline": 0,
        "atTheEnd": {"connectedAgents": 9, "heldBySurvivors": 9},
        "agents": {"endedForGood": []},
        "lostNode": {"machines": 3},
    }
    assert findings.broken(good, 9) == []
    for bad, sentence in (
        ({"watched": {"shownOffline": 1}}, "1 machines were shown offline"),
        ({"announcedOffline": 2}, "2 machines were announced offline"),
        ({"atTheEnd": {"connectedAgents": 9, "heldBySurvivors": 8}}, "1 machines are missing at the end"),
        ({"agents": {"endedForGood": ["this machine was revoked"]}}, "1 agents ended for good"),
        ({"lostNode": {"machines": 0}}, "the lost node held nobody"),
    ):
        (line,) = findings.broken(good | bad, 9)
        assert line.startswith(sentence)


def test_times_say_when_half_and_all_were_back_and_nothing_of_what_was_not_reached() -> None:
    assert findings.spread([3.0, 1.0, 2.0, 4.0], 4) == {
        "machines": 4, "halfSeconds": 3.0, "p99Seconds": 4.0, "allSeconds": 4.0,
    }  # fmt: skip
    assert findings.spread([3.0, 1.0, 2.0], 4) == {"machines": 3, "halfSeconds": 2.0}


def test_scenarios_explain_themselves() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "loadtests"], capture_output=True, text=True, check=False, timeout=30
    )
    assert listed.returncode == 64
    assert "picker" in listed.stdout
