"""Shows that a command for operators says one line about what fails, and leaves standard output to what was asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import START_SECONDS, clean_environment
from tests.support.ports import free_ports
from tests.support.starter import run

FULL = Path("/dev/full")
DOC = [sys.executable, "-m", "relay.cli", "config", "doc"]


def test_what_does_not_answer_is_one_line_and_nothing_that_a_program_would_read() -> None:
    [port] = free_ports(1)
    own = {"RELAY_DATABASE_URL": f"postgresql+asyncpg://relay:hunter2@127.0.0.1:{port}/relay"}
    command = [sys.executable, "-m", "relay.cli", "admin", "timing", "show", "--json"]
    done = run(command, env=clean_environment() | own, timeout=START_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (75, "", "relay: the registry does not answer\n")


def test_whoever_has_read_enough_is_left_in_peace() -> None:
    """As in `relay config doc | head -1`: the exit code is that of a program which SIGPIPE ended."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as output:
        done = subprocess.run(
            DOC, stdout=output, stderr=subprocess.PIPE, env=clean_environment(), timeout=START_SECONDS, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="a system without a disk that is always full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with FULL.open("wb") as output:
        done = subprocess.run(
            DOC, stdout=output, stderr=subprocess.PIPE, env=clean_environment(), timeout=START_SECONDS, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"relay: what this says cannot be written: no space is left\n")
