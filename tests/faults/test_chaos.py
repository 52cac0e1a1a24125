"""Shows that chaos follows a plan that can be had again, and that a run tells what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from loadtests.chaos.plan import DOINGS, NODES, REDIS, steps

STEPS = 2_000  # of the plan, in which everything comes that can


def test_the_same_seed_is_the_same_plan_and_another_one_is_not() -> None:
    first, again, other = (list(islice(steps(seed, 3), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_everything_that_can_happen_does_and_nothing_happens_twice_at_once() -> None:
    plan = list(islice(steps(1, 3), STEPS))
    assert {deed.kind for step in plan for deed in step.deeds} == {*NODES, *REDIS}
    assert {step.beside for step in plan} == {"", *(name for name, _ in DOINGS)}
    for step in plan:
        assert sum(deed.kind in NODES for deed in step.deeds) <= 1
        assert sum(deed.kind in REDIS for deed in step.deeds) <= 1
        shortest, longest = zip(*((d.kind.shortest_seconds, d.kind.longest_seconds) for d in step.deeds), strict=True)
        assert max(shortest) <= step.seconds <= max(longest)
        assert all(0 <= deed.node < 3 for deed in step.deeds)


@pytest.mark.xdist_group("faults-alone")
@pytest.mark.timeout(240)
def test_a_short_chaos_keeps_every_promise_and_says_so(tmp_path: Path) -> None:
    """One step, on a cluster of its own."""
    file = tmp_path / "chaos.json"
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", "chaos", "--minutes", "0.01", "--seed", "10", "--json", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    found = json.loads(file.read_text())
    assert found["violations"] == []
    assert found["recordsChecked"] > 0
    assert sum(found["faults"].values()) >= 1
    assert "caught up after" in done.stderr
