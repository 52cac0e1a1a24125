"""Shows that no shell script of ours has what shellcheck knows to go wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.proxies import program

ROOT = Path(__file__).parents[2]
FOLDERS = ("deploy", "tests", ".ci", "loadtests", "relay", "workers")
SKIPPED = {"node_modules", "dist", "__pycache__"}


def scripts() -> list[Path]:
    """Every file of ours that says that a shell runs it."""
    found = []
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if not path.is_file() or path.suffix or SKIPPED & set(path.parts):
                continue
            with path.open("rb") as file:
                if file.readline().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash")):
                    found.append(path)
    return found


def test_shellcheck_has_nothing_to_say() -> None:
    found = scripts()
    assert {"dev", "lock", "environment", "make-secrets", "run"} <= {path.name for path in found}
    done = subprocess.run([program("shellcheck"), *map(str, found)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_scripts_can_be_run() -> None:
    assert [path for path in scripts() if not path.stat().st_mode & 0o111] == []
