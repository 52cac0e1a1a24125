"""Talks on a machine as the program of a session: says numbered records, and notes durably all that it is told.

    python -S -m tests.faults.talker WHO SEED FOLDER EVERY_MS

It notes in FOLDER/WHO.said how many records it has said, and in FOLDER/WHO.heard every byte it was given. A line of
`!stop` or the end of its input ends it, behind a last record; `!burst N` lets it say N records at once.
"""

from __future__ import annotations

import os
import select
import sys
import time

from tests.faults import records

LIFETIME_SECONDS = 3_600.0  # it never outlives the run that forgot it


class Talker:
    """What one program has said and heard."""

    def __init__(self, who: str, seed: int, folder: str, every_seconds: float) -> None:
        self._who = who
        self._seed = seed
        self._every = every_seconds
        flags = os.O_WRONLY | os.O_CREAT
        self._said = os.open(f"{folder}/{who}.said", flags, 0o600)
        self._heard = os.open(f"{folder}/{who}.heard", flags | os.O_APPEND, 0o600)
        self._number = 0
        self._line = b""

    def run(self) -> None:
        """Say and hear until told to stop."""
        begun = due = time.monotonic()
        while time.monotonic() - begun < LIFETIME_SECONDS:
            ready, _, _ = select.select([0], [], [], max(0.0, due - time.monotonic()))
            if ready and not self._hear():
                break
            if time.monotonic() >= due:
                self._say()
                due = max(due + self._every, time.monotonic() - self._every)
        self._say()

    def _say(self) -> None:
        self._number += 1
        left = records.write(self._seed, self._who, self._number, time.monotonic())
        while left:
            left = left[os.write(1, left) :]
        os.pwrite(self._said, b"%020d" % self._number, 0)

    def _hear(self) -> bool:
        """Take what there is; whether to go on."""
        data = os.read(0, 65_536)
        os.write(self._heard, data)
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if line == b"!stop":
                return False
            if line.startswith(b"!burst "):
                for _ in range(int(line.split()[1])):
                    self._say()
        return bool(data)


def main() -> None:
    """Be the program."""
    who, seed, folder, every_ms = sys.argv[1:]
    if os.isatty(0):
        import tty

        tty.setraw(0)
    Talker(who, int(seed), folder, int(every_ms) / 1_000).run()


if __name__ == "__main__":
    main()
