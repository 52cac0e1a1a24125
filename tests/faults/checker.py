"""Judges histories: whether each browser saw exactly what was said, each machine took exactly what was typed, and
nobody was told what is not so. Pure: it is given what happened, and asks nobody.

`Output` and `Input` take events one by one, so that a run of hours needs no memory for what was right.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.faults import records
from tests.faults.records import Record

MISSING_KEPT = 10_000  # numbers that were skipped, to tell a swapped record from a repeated one


class Violation(NamedTuple):
    """One broken promise."""

    kind: str
    who: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.who}: {self.detail}"


class Output:
    """What one browser was shown of one session, which it attached to before anything was said unless `late`."""

    def __init__(self, session: str, browser: str, *, late: bool = False) -> None:
        self.violations: list[Violation] = []
        self.last = 0
        self.count = 0
        self.gaps = 0  # that were declared
        self._session = session
        self._who = f"{browser} on {session}"
        self._rest = b""
        self._joining = late  # what comes next may begin anywhere in a record, with any later number
        self._missing: set[int] = set()

    def show(self, data: bytes) -> list[Record]:
        """The browser was shown these bytes; the records that ended in them."""
        *lines, self._rest = (self._rest + data).split(records.END)
        found = []
        for line in lines:
            record = records.read(line)
            if record is not None and record.who == self._session:
                self._judge(record.number)
                found.append(record)
            elif not self._joining:
                self._broken("corrupted", f"{line[:60]!r} behind record {self.last}")
            else:
                continue  # the end of a record whose beginning is in the gap
            self._joining = False
        return found

    def gap(self) -> None:
        """The browser was told that something is missing here."""
        self.gaps += 1
        self._joining = True
        self._rest = b""

    def finish(self, said: int) -> None:
        """The program ended after so many records, and the browser was told so."""
        if self.last < said:
            self._broken("cut off", f"it ends with record {self.last} of {said}")
        elif self.last > said:
            self._broken("invented", f"record {self.last} where only {said} were said")
        elif self._rest:
            self._broken("corrupted", f"{self._rest[:60]!r} behind the last record")

    def _judge(self, number: int) -> None:
        self.count += 1
        if number <= self.last:
            kind = "swapped" if number in self._missing else "repeated"
            self._missing.discard(number)
            self._broken(kind, f"record {number} behind {self.last}")
            return
        if number > self.last + 1 and not self._joining:
            self._missing.update(range(self.last + 1, min(number, self.last + MISSING_KEPT)))
            self._broken("lost", f"records {self.last + 1} to {number - 1}, and no gap was declared")
        self.last = number

    def _broken(self, kind: str, detail: str) -> None:
        self.violations.append(Violation(kind, self._who, detail))


class Input:
    """What one browser typed into one session, and what it was told became of that."""

    def __init__(self, session: str, browser: str) -> None:
        self.typed = 0  # records, numbered from 1
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()  # declared as not applied
        self.uncertain: set[int] = set()  # declared as lost: nobody knows whether they were applied
        self._who = f"{browser} on {session}"

    def judge(self, applied: list[int]) -> list[Violation]:
        """What is wrong, given the numbers that the program was given, in that order, before it ended."""
        found = []
        last = 0
        for number in applied:
            if number <= last:
                kind = "applied twice" if applied.count(number) > 1 else "swapped"
                found.append(Violation(kind, self._who, f"input {number} behind {last}"))
            last = max(last, number)
        taken = set(applied)
        for kind, numbers in (
            ("acknowledged, not applied", self.acknowledged - taken),
            ("refused, yet applied", self.refused & taken),
            ("never typed", {number for number in taken if number > self.typed}),
            ("vanished", self._undecided() - taken),
        ):
            found += [Violation(kind, self._who, f"input {number}") for number in sorted(numbers)]
        return found

    def _undecided(self) -> set[int]:
        """What was accepted from the keyboard and never spoken of again."""
        return set(range(1, self.typed + 1)) - self.acknowledged - self.refused - self.uncertain


class Heard(NamedTuple):
    """What the program of a session was given: by browser, the numbers of their records in order."""

    applied: dict[str, list[int]]
    corrupted: list[bytes]


def heard(data: bytes) -> Heard:
    """Reads what a program noted; lines that begin with `!` are orders to it."""
    result = Heard({}, [])
    lines = data.split(records.END)
    for line in lines:
        record = records.read(line)
        if record is not None:
            result.applied.setdefault(record.who, []).append(record.number)
        elif line and not line.startswith(b"!"):
            result.corrupted.append(line)
    return result


class Told(NamedTuple):
    """One state of a machine that a watcher was told of."""

    at: float
    machine: str
    state: str
    connected: bool


class Life(NamedTuple):
    """From when until when a machine's agent lived and was to be reached, as far as the relay is concerned."""

    machine: str
    since: float
    until: float | None = None

    def covers(self, at: float) -> bool:
        """Whether it lived then."""
        return self.since <= at and (self.until is None or at < self.until)


def false_offline(told: Iterable[Told], lives: Iterable[Life]) -> list[Violation]:
    """Machines that were said to be offline while their agents lived."""
    known = list(lives)
    return [
        Violation("false offline", each.machine, f"at {each.at:.1f} s, while its agent lived")
        for each in told
        if each.state == "offline" and any(life.machine == each.machine and life.covers(each.at) for life in known)
    ]


def come_back(told: Iterable[Told], revoked: dict[str, float], within_seconds: float) -> list[Violation]:
    """Machines that were said to be connected longer than this after they were revoked, by when that was answered."""
    return [
        Violation(
            "revoked, yet connected", each.machine, f"{each.at - revoked[each.machine]:.1f} s after it was revoked"
        )
        for each in told
        if each.machine in revoked and each.connected and each.at > revoked[each.machine] + within_seconds
    ]
