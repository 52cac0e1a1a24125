"""Tests that the load tests run, small, and say what they found."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.xdist_group("dev")


def test_a_small_fleet_beats_and_is_watched() -> None:
    words = ["fleet", "--machines", "40", "--sockets", "4", "--browsers", "2", "--seconds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", *words], capture_output=True, text=True, check=False, timeout=90
    )
    found = json.loads(done.stdout)
    assert found["machines"] == 40
    assert found["sockets"]["welcomed"] == 4
    assert found["browsers"]["complete"] == 2
    assert found["browsers"]["goodbyeHeardMs"]["count"] == 4 * 2
    assert done.returncode == (99 if found["exceeded"] else 0)


def test_scenarios_explain_themselves() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "loadtests"], capture_output=True, text=True, check=False, timeout=30
    )
    assert listed.returncode == 64
    assert "fleet" in listed.stdout
