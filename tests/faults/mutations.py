"""Breaks the product on purpose, one way at a time in a copy of it, and sees that a scenario of this folder notices.

    python -m tests.faults.mutations [NAME...]        all of them, or those named; exit code 1 if one goes unnoticed

The product itself has no switch for this: each mutation is a few words of source replaced in a folder that is thrown
away, in which the scenario then runs with whatever else is in the folder as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.broken_promises import MUTATIONS, Mutation
from tests.faults.cluster import ROOT

COPIED = ("relay", "workers", "tests", "loadtests", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", "src", "*.png")
WHY_CHARACTERS = 200  # of what a failed scenario has to say
LIMIT_SECONDS = 240.0  # for one scenario; one that hangs has noticed as well


class Verdict(NamedTuple):
    """What became of one scenario in a broken copy."""

    noticed: bool
    seconds: float
    why: str  # the beginning of what pytest said


def broken_copy(mutation: Mutation, folder: Path) -> None:
    """Copy the product and its tests into a folder and break it there; AssertionError if the words are not there."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, folder / name)
    for path, words, instead in mutation.edits:
        text = (folder / path).read_text()
        assert text.count(words) == 1, f"{mutation.name}: {path} has {text.count(words)} times {words!r}"
        (folder / path).write_text(text.replace(words, instead))


def judge(mutation: Mutation) -> Verdict:
    """Run the scenario against the broken product."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as path:
        broken_copy(mutation, Path(path))
        scenario = mutation.scenario if "/" in mutation.scenario else f"tests/faults/{mutation.scenario}"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", scenario]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        try:
            done = subprocess.run(
                words, cwd=path, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
            )
            said, hung = done.stdout, False
        except subprocess.TimeoutExpired:
            said, hung = "", True
    complaints = [line[1:].strip() for line in said.splitlines() if line.startswith("E ")]
    # A cluster that did not even start is an error and no failure: it shows nothing.
    noticed = hung or any(line.startswith("FAILED ") for line in said.splitlines())
    why = "it hung" if hung else " ".join(complaints)[:WHY_CHARACTERS] or said.strip()[-WHY_CHARACTERS:]
    return Verdict(noticed, time.monotonic() - began, why)


def main(names: Sequence[str]) -> int:
    """Judge all mutations, or those that are named, and print what became of each."""
    unknown = set(names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        print("no such mutation: " + ", ".join(sorted(unknown)), file=sys.stderr)
        return 64
    unnoticed = 0
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        verdict = judge(mutation)
        unnoticed += not verdict.noticed
        word = "noticed" if verdict.noticed else "NOT NOTICED"
        print(f"{mutation.promise}: {word} after {verdict.seconds:.0f} s by {mutation.scenario}", flush=True)
        print(f"    {verdict.why}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
