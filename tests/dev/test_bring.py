"""Shows that people who bring k6 or locust find scripts that load a real cluster, and that both notice a refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.cluster import Cluster, Rest, Team, clean_environment

BRING = Path(__file__).parents[2] / "loadtests" / "bring"
PROGRAMS = Path(sys.executable).parent
SECONDS = 90.0  # for a tool that is to load for two


@pytest.fixture(scope="module")
def team(shared_cluster: Cluster) -> Team:
    """A workspace with three machines that nobody runs: a list is a list."""
    team = shared_cluster.team("brought")
    for number in range(3):
        body = {"name": f"brought-{number}", "hostname": "h", "version": "1", "instanceId": str(UUID(int=number))}
        Rest(shared_cluster.urls[0], team.key)("POST", "/api/machines", body)
    return team


def program(name: str) -> str:
    """A tool that the environment of the tests brings; skips where there is none for this machine, fails in CI."""
    path = PROGRAMS / name
    if not path.exists():
        reason = f"{name} is not installed: run tests/run, or see the test extra in pyproject.toml"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(path)


def environment(team: Team, **more: str) -> dict[str, str]:
    """What both tools read."""
    return clean_environment() | {
        "RELAY_URL": ",".join(team.cluster.urls),
        "RELAY_TOKEN": team.owner.token,
        "RELAY_WORKSPACE": team.workspace,
        **more,
    }


def k6(team: Team, folder: Path, **more: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what it said, and its metrics."""
    words = ["run", "--quiet", "--no-usage-report", "--no-color", "--summary-export", str(folder / "k6.json")]
    done = subprocess.run(
        [program("k6"), *words, str(BRING / "relay.js")],
        env=environment(team, **more), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    file = folder / "k6.json"
    return done.returncode, done.stdout + done.stderr, json.loads(file.read_text())["metrics"] if file.exists() else {}


def test_k6_lists_machines_and_shows_pickers_on_both_nodes(team: Team, tmp_path: Path) -> None:
    code, said, metrics = k6(team, tmp_path, PEOPLE="4", LISTS="5", SECONDS="2", LATEST_MS="60000")
    assert code == 0, said
    assert metrics["relay_welcome"]["max"] > 0
    assert metrics["relay_snapshot"]["max"] > 0
    assert metrics["checks"]["fails"] == 0
    assert metrics["checks"]["passes"] >= 4 + 5


def test_k6_says_that_a_token_is_no_good(team: Team, tmp_path: Path) -> None:
    code, said, _ = k6(team, tmp_path, RELAY_TOKEN="nobody")
    assert code != 0
    assert "/api/me answered 401" in said


def locust(team: Team, *until: str, **more: str) -> tuple[int, str, list[dict[str, Any]]]:
    """Load until each of these was called; exit code, what it said, and a row for each kind of call."""
    files = ",".join(map(str, (BRING / "locustfile.py", Path(__file__).with_name("until_called.py"))))
    words = ["-f", files, "--headless", "--json", "--users", "6", "--spawn-rate", "6", "--stop-timeout", "0"]
    done = subprocess.run(
        [program("locust"), *words, "--host", ",".join(team.cluster.urls)],
        env=environment(team, UNTIL_CALLED=",".join(until), **more),
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, json.loads(done.stdout or "[]")


def test_locust_lists_resolves_and_watches(team: Team) -> None:
    code, said, rows = locust(team, "/api/me", "/api/machines", "/api/resolve", "welcome", "snapshot")
    assert code == 0, said
    assert sum(row["num_failures"] for row in rows) == 0


def test_locust_ends_with_1_for_a_token_that_is_no_good(team: Team) -> None:
    code, said, rows = locust(team, "/api/me", "welcome", RELAY_TOKEN="nobody")
    assert code == 1, said
    failures = {row["name"]: row["num_failures"] for row in rows}
    assert failures["/api/me"] > 0
    assert failures["welcome"] > 0
