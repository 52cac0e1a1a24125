"""Runs promtool, Prometheus's own reader of rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 100.0  # far above the few that it takes alone


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What it says of files in a folder; skips the test where it is not to be had, and fails it in CI."""
    beside = Path(sys.executable).parent / "promtool"
    found = str(beside) if beside.exists() else shutil.which("promtool")
    if found is None:
        why = "promtool is missing; tests/run takes it from Debian's package prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return subprocess.run([found, *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
