"""Shows that no shell script of ours has what shellcheck knows to go wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.proxies import program

ROOT = Path(__file__).parents[2]
FOLDERS = ("deploy", "tests", ".ci", "loadtests", "relay", "workers")
SKIPPED = {"node_modules", "dist", "__pycache__"}


@pytest.fixture(scope="module")
def scripts() -> list[Path]:
    """Every file of ours that says that a shell runs it."""
    found = []
    for folder in FOLDERS:
        for place, folders, files in os.walk(ROOT / folder):
            folders[:] = [name for name in folders if name not in SKIPPED]
            found += [Path(place, name) for name in files if "." not in name and is_script(Path(place, name))]
    return found


def is_script(path: Path) -> bool:
    """By its first line."""
    with path.open("rb") as file:
        return file.readline().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash"))


def test_shellcheck_has_nothing_to_say(scripts: list[Path]) -> None:
    assert {"dev", "lock", "environment", "make-secrets", "run"} <= {path.name for path in scripts}
    done = subprocess.run([program("shellcheck"), *map(str, scripts)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_scripts_can_be_run(scripts: list[Path]) -> None:
    assert [path for path in scripts if not path.stat().st_mode & 0o111] == []
