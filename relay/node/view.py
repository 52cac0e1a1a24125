"""Holds one workspace as this node knows it: the registry's rows, presence as last read, and what follows from both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint

from relay.node.lines import Line, Lines
from relay.node.sight import Derived
from relay.rules import presence
from relay.rules.machine import Registered
from relay.rules.presence import Record
from relay.rules.resolver import Candidate

LOOK_SECONDS = 10.0  # in a large workspace last-seen times are read so often: beats move nothing else, and ring no bell
PARTS = 6  # and one part of all records with them, so that none is older than a minute, and no list pays for all
PLACED_AT_ONCE = 1_000  # names put in order without giving the loop back: a millisecond
LOOKED_AT_ONCE = 2_000  # records glanced at without giving the loop back: half a millisecond


class View:
    """One workspace as this node knows it. `rows` are the registry's, `records` are presence as of `now_ms`."""

    def __init__(self) -> None:
        self.rows: dict[str, Registered] = {}
        self.former: dict[str, tuple[str, ...]] = {}
        self.loaded = False  # before that there are no rows
        self.loading = asyncio.Lock()  # of rows
        self.failures = 0  # of readings of them
        self.dropped = False  # a change concerned all rows: whoever still holds this view may not show it
        self.stale: dict[str, object] = {}  # machines whose rows must be read again, by the mark of a change
        self.unread: set[str] = set()  # machines whose row is new here, so that their bell may have been passed over
        self.records: dict[str, Record] = {}
        self.reading = asyncio.Lock()  # of records
        self.settled = True
        self.settled_then = True  # when all of presence was read
        self.version = -1  # everything that rang up to this version is in `records`
        self.looked = -1  # in which span of `LOOK_SECONDS` beats were read, counted by the monotonic clock
        self.read_ms = 0  # Redis's clock at the readout
        self.read_at = 0.0  # and ours, monotonic seconds
        self.derived = Derived()
        self._lines = Lines()
        self._places: list[str] = []  # sorted
        self._moved: dict[str, str | None] = {}  # machines whose place may be another, by the one in `_places`
        self._order: list[str] = []

    def may_show(self, machine: str) -> bool:
        """Whether the machine's row is the latest that this node has heard of. A view that is held across an await
        may have fallen behind, and what it says of who may see the machine is then no longer true."""
        return not self.dropped and machine not in self.stale

    async def load(self, rows: Sequence[Registered], former: dict[str, tuple[str, ...]]) -> None:
        """Take the first rows, and order them by parts: ten thousand at once would hold the loop."""
        found: dict[str, Registered] = {}
        places: list[str] = []
        order: list[str] = []
        for start in range(0, len(rows), PLACED_AT_ONCE):
            some = rows[start : start + PLACED_AT_ONCE]
            found.update((row.id, row) for row in some)
            places += sorted(_place(row) for row in some)
            await asyncio.sleep(0)
        places.sort()
        for start in range(0, len(places), PLACED_AT_ONCE):
            await asyncio.sleep(0)
            order += _ids(places[start : start + PLACED_AT_ONCE])
        self.rows, self._places, self._order = found, places, order
        self.former, self.loaded = former, True

    def by_name(self) -> list[str]:
        """The ids of all machines in the order of a list."""
        if self._moved:
            gone = set(self._moved.values())
            stayed = [place for place in self._places if place not in gone]
            self._places = sorted([*stayed, *(_place(self.rows[id]) for id in self._moved if id in self.rows)])
            self._moved, self._order = {}, _ids(self._places)
        return self._order

    def put(self, machines: Iterable[str], rows: dict[str, Registered]) -> None:
        """Replace the rows of these machines; those without one are gone."""
        for machine in machines:
            before = self.rows.pop(machine, None)
            self._moved.setdefault(machine, _place(before) if before is not None else None)
            self.derived.forget(machine)
            if machine not in rows:
                self._lines.forget(machine)
        self.rows.update(rows)
        self.unread.update(rows)

    def lines(self, machines: Sequence[str]) -> Iterator[list[Line]]:
        """These machines in parts, each written as of when it is asked for; those that are gone are left out."""
        ids = iter(machines)
        while length_hint(ids):
            now_ms = self.now_ms(asyncio.get_running_loop().time())
            yield self._lines.current(ids, self.rows, self.records, self.settled, now_ms)

    def candidate(self, row: Registered) -> Candidate:
        """What the resolver needs of a machine."""
        return self.derived.candidate(row, self.former.get(row.id, ()))

    def due(self, now: float) -> set[str] | None:
        """The machines whose records are to be read in full beside a look at beats, none if it is too early for one;
        None: all. Each part has its turn at the same moments of every minute, so in a list no record is from before the
        minute that ends with it, however seldom lists are asked for."""
        late = span(now) - self.looked
        if late >= PARTS:
            return None
        parts = {(self.looked + turn) % PARTS for turn in range(1, late + 1)}
        return {id for id in self.rows if hash(id) % PARTS in parts} if parts else set()

    async def silent(self, now_ms: int) -> list[str]:
        """Machines that would not be live any more, unless they were heard since they were read: a beat rings no
        bell."""
        before_ms = now_ms - presence.LIVE_MS
        records = list(self.records.values())
        found: list[str] = []
        for start in range(0, len(records), LOOKED_AT_ONCE):
            some = records[start : start + LOOKED_AT_ONCE]
            found += [record.machine for record in some if record.heard_ms < before_ms and record.connected]
            await asyncio.sleep(0)
        return found

    def now_ms(self, now: float) -> int:
        """Redis's clock at monotonic `now`."""
        return self.read_ms + int((now - self.read_at) * 1000)


def span(now: float) -> int:
    """Which span of `LOOK_SECONDS` it is at monotonic `now`."""
    return int(now // LOOK_SECONDS)


def _place(row: Registered) -> str:
    return f"{row.name}\0{row.id}"  # no name has a character before or like this one


def _ids(places: Sequence[str]) -> list[str]:
    return "\0".join(places).split("\0")[1::2]
