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

from tests.faults.cluster import ROOT

COPIED = ("relay", "workers", "tests", "loadtests", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", "src", "*.png")
WHY_CHARACTERS = 200  # of what a failed scenario has to say
LIMIT_SECONDS = 240.0  # for one scenario; one that hangs has noticed as well


class Edit(NamedTuple):
    """Words that stand once in a file, and what stands there instead."""

    path: str
    words: str
    instead: str


class Mutation(NamedTuple):
    """One broken promise, and the scenario that must fail for it."""

    name: str
    edits: tuple[Edit, ...]
    scenario: str

    @property
    def promise(self) -> str:
        """What is broken, as a sentence."""
        return self.name.replace("-", " ")


class Verdict(NamedTuple):
    """What became of one scenario in a broken copy."""

    noticed: bool
    seconds: float
    why: str  # the beginning of what pytest said


KILL = "test_nodes.py::test_a_killed_node_costs_nobody_a_byte"
UNCONFIRMED = "test_browsers.py::test_input_whose_acknowledgements_were_lost_is_sent_again_and_applied_once"
FORGOTTEN = "test_browsers.py::test_a_browser_that_was_away_for_longer_than_the_machine_remembers_is_told_of_the_gap"
HALF_OPEN = "test_sockets.py::test_half_open_sockets_are_left_and_their_late_end_changes_nothing[machines]"
FROZEN = "test_nodes.py::test_a_node_that_was_frozen_for_longer_than_its_lease_takes_nothing_back"
LAST = "test_sockets.py::test_a_lost_last_frame_is_noticed_although_nothing_follows_it"
REVOKED = "test_revocation.py::test_a_revoked_machine_is_out_within_seconds_and_stays_out_whatever_is_broken"

MUTATIONS = (
    Mutation(
        "output-resumes-one-frame-too-late",
        (
            Edit(
                "relay/rules/resume.py",
                "return Replay(after.sequence + 1, True)",
                "return Replay(after.sequence + 2, True)",
            ),
        ),
        KILL,
    ),
    Mutation(
        "output-resumes-one-frame-too-early-and-is-believed",
        (
            Edit(
                "relay/rules/resume.py",
                "return Replay(after.sequence + 1, True)",
                "return Replay(after.sequence, True)",
            ),
            Edit("relay/client/output_track.py", "or sequence <= self._last:", "or sequence < self._last:"),
        ),
        KILL,
    ),
    Mutation(
        "a-gap-is-not-declared",
        (Edit("relay/client/attachment.py", "if start is Start.GAP or (", "if ("),),
        FORGOTTEN,
    ),
    Mutation(
        "input-is-applied-however-often-it-comes",
        (
            Edit("relay/rules/resume.py", 'return "duplicate"', 'return "apply"'),
            # Else a browser that comes back is told what was applied, and sends nothing twice in the first place.
            Edit("relay/client/input_stream.py", "        self.acknowledge(applied)\n", ""),
        ),
        UNCONFIRMED,
    ),
    Mutation(
        "input-that-nobody-confirmed-is-not-sent-again",
        (Edit("relay/client/keyboard.py", "for entry in self._stream.waiting():", "for entry in ():"),),
        UNCONFIRMED,
    ),
    Mutation(
        "input-is-acknowledged-and-thrown-away",
        (
            Edit(
                "relay/agent/intake.py",
                "self.program.write(data, lambda: self._taken(client, newest))",
                "self._taken(client, newest)",
            ),
        ),
        KILL,
    ),
    Mutation(
        "the-end-of-an-old-connection-counts",
        (
            Edit(
                "relay/store/presence.py",
                "if not stored or (stored.fence ~= owner and stored.connection ~= owner) then return 0 end",
                "if not stored then return 0 end",
            ),
        ),
        HALF_OPEN,
    ),
    Mutation(
        "an-old-connection-takes-its-machine-back",
        (
            Edit("relay/store/heartbeats.py", "if not theirs or newer(mine, theirs) then", "if true then"),
            Edit(
                "relay/store/heartbeats.py",
                "elseif theirs and not same and not newer(mine, theirs) then",
                "elseif false then",
            ),
        ),
        FROZEN,
    ),
    Mutation(
        "a-missing-batch-between-nodes-goes-unnoticed",
        (
            Edit(
                "relay/rules/lanes.py",
                "return Arrival.REPEATED if number < expected else Arrival.GAP",
                "return Arrival.REPEATED if number < expected else Arrival.NEXT",
            ),
        ),
        LAST,
    ),
    # That a revoked machine is refused at its hello is checked twice, in Redis's mirror and by its row, which is gone:
    # to break either of them lets nobody in.
    Mutation(
        "a-revocation-is-not-read-from-the-registry",
        (Edit("relay/node/reactions.py", "self._router.revoked(change.subject)", "pass"),),
        REVOKED,
    ),
    Mutation(
        "machines-are-offline-long-before-they-are-silent",
        (
            Edit(
                "relay/store/claims.py",
                "redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. int(now), 'WITHSCORES', 'LIMIT', 0, limit)",
                "redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)",
            ),
        ),
        REVOKED,  # which lasts for longer than silence proves nothing after Redis began
    ),
)


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
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/faults/{mutation.scenario}"]
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
