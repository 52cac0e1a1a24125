"""Writes each machine of a workspace as JSON once, and again only what changed, so that a list is a join of lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from msgspec import Struct

from relay.node.sight import Kind, kind_of
from relay.rules import machine as rules
from relay.rules import presence
from relay.rules.machine import Machine, Registered, State
from relay.rules.presence import Record

AT_ONCE = 300  # lines looked at without giving the loop back, if all are good: a millisecond
TIMED = 2  # lines are looked at in the time in which one gets new times
WRITTEN = 5  # and in which one is written anew
FOREVER_MS = 1 << 62
AGES = 100  # seconds: who was heard longer ago is offline, and few are

_TIMES = b'"lastSeenAt":null,"heartbeatAgeSeconds":null'
_NO_CAN = b"[]}"
_AGES = tuple(b"%d" % age for age in range(AGES))


class Words(Struct, frozen=True, gc=False):
    """One machine as JSON behind a comma, in two pieces: between them stand times, at the end what the asker may do."""

    kind: Kind
    head: bytes
    tail: bytes
    mark: bytes  # a digest of both: all that is worth telling at once


class Line(Struct, frozen=True, gc=False):
    """One machine as of some moment, and for how long this holds. Rows and records are never changed, only replaced."""

    row: Registered
    record: Record | None
    settled: bool
    state: State
    until_ms: int  # its band is this one until then, unless its record changes
    words: Words
    heard_ms: int | None
    times: bytes  # up to its age, which grows each second; without one, all of them

    def pieces(self, now_ms: int, ending: bytes) -> tuple[bytes, ...]:
        """The JSON of a `Machine` at `now_ms` behind a comma, to be joined; `Sight` gives the ending."""
        words = self.words
        if self.heard_ms is None:
            return words.head, self.times, words.tail, ending
        age = (now_ms - self.heard_ms) // 1000
        return words.head, self.times, _AGES[age] if 0 <= age < AGES else b"%d" % max(0, age), words.tail, ending


class Lines:
    """The lines of one workspace."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def forget(self, machine: str) -> None:
        """The machine is gone."""
        self._lines.pop(machine, None)

    def current(
        self,
        ids: Iterable[str],
        rows: Mapping[str, Registered],
        records: Mapping[str, Record],
        settled: bool,
        now_ms: int,
    ) -> list[Line]:
        """The lines of the first of these machines as of `now_ms`, as many as may be looked at in one go; machines
        without a row are left out."""
        lines, found, left = self._lines, [], AT_ONCE
        for id in ids:
            row, record, line = rows.get(id), records.get(id), lines.get(id)
            left -= 1
            if row is not None:
                if (
                    line is None
                    or line.record is not record
                    or line.row is not row
                    or line.until_ms <= now_ms
                    or line.settled != settled
                ):
                    before, line = line, write(row, record, settled, now_ms, line)
                    lines[id] = line
                    left -= TIMED if before is not None and before.words is line.words else WRITTEN
                found.append(line)
            if left <= 0:
                break
        return found


def write(row: Registered, record: Record | None, settled: bool, now_ms: int, before: Line | None = None) -> Line:
    """The line of a machine; what `before` says already is taken from there."""
    state, until_ms = _band(row, record, settled, now_ms)
    if before is not None and before.row is row and before.state == state and _same(before.record, record):
        words = before.words
    else:
        words = _words(rules.timeless(row, record, state, []), kind_of(row))
    heard_ms = record.heard_ms if record is not None else row.last_seen_ms
    return Line(row, record, settled, state, until_ms, words, heard_ms, _times(heard_ms))


def _band(row: Registered, record: Record | None, settled: bool, now_ms: int) -> tuple[State, int]:
    """The machine's band, and until when it stays in it if nothing more is heard."""
    if record is not None and record.connected:
        until_ms = record.heard_ms + presence.LIVE_MS + 1
        if now_ms < until_ms < record.deadline_ms:  # as most are, at each of their beats: the same in half the time
            return "live", until_ms
    state = rules.state_of(row, record, now_ms, settled)
    return state, (presence.next_change_ms(record, now_ms) if record is not None else None) or FOREVER_MS


def _times(heard_ms: int | None) -> bytes:
    if heard_ms is None:
        return _TIMES
    return b'"lastSeenAt":"%b","heartbeatAgeSeconds":' % rules.iso(heard_ms).encode()


def _words(machine: Machine, kind: Kind) -> Words:
    text = msgspec.json.encode(machine)
    # The first such text is the fields themselves: before them stand only strings, in which a quote is escaped.
    head, _, tail = text.partition(_TIMES)
    return Words(kind, b"," + head, tail.removesuffix(_NO_CAN), blake2b(text, digest_size=8).digest())


def _same(before: Record | None, record: Record | None) -> bool:
    """Whether two records of one band say the same but for times."""
    if before is None or record is None:
        return before is record
    return before.connected == record.connected and before.reason == record.reason and before.info == record.info
