"""Joins what the registry keeps of machines with what Redis remembers, for lists, resolver, access checks and feeds."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from relay.errors import NotFound, Unavailable
from relay.node.changes import Tail
from relay.node.lines import Line, Lines
from relay.node.sight import Derived, candidates
from relay.registry import Change, Registry
from relay.rules import access, presence, resolver
from relay.rules import machine as rules
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered
from relay.rules.presence import Record
from relay.rules.resolver import Candidate
from relay.store import Presence

WORKSPACES = 256  # views kept; the least recently used goes first
ROWS_AGAIN = 500  # rows read again one by one; beyond it the whole workspace is read
FEW = 500  # machines whose presence is read at every question: about 5 ms
BEATS_SECONDS = 10.0  # with more machines, beats are looked at so often: they move nothing but last-seen times
WHOLE_SECONDS = 60.0  # and everything so often, should Redis have gone back to an older state without our notice
LOOKED_AT_ONCE = 2_000  # records glanced at without giving the loop back: half a millisecond
STALE_ROWS_SECONDS = 30.0  # without its database a node answers from memory, but not for ever


class View:
    """One workspace as this node knows it. `rows` are the registry's, `records` are presence as of `now_ms`."""

    def __init__(self, rows: dict[str, Registered], former: dict[str, tuple[str, ...]], read_at: float) -> None:
        self.rows = rows
        self.former = former
        self.rows_at = read_at  # monotonic seconds
        self.stale: dict[str, object] = {}  # machines whose rows must be read again, by the mark of a change
        self.unread: set[str] = set()  # machines whose row is new here, so that their bell may have been passed over
        self.records: dict[str, Record] = {}
        self.settled = True
        self.version = -1  # everything that rang up to this version is in `records`
        self.read_ms = 0  # Redis's clock at the readout
        self.read_at = 0.0  # and ours, monotonic seconds
        self.whole_at = -math.inf  # when all of presence was read, monotonic seconds
        self.beats_at = -math.inf  # when everybody's last-seen time was read, monotonic seconds
        self.derived = Derived()
        self._lines = Lines()
        self._order: list[str] = []
        self._ordered = False

    def by_name(self) -> list[str]:
        """The ids of all machines in the order of a list."""
        if not self._ordered:
            known = set(self._order)
            order = [id for id in self._order if id in self.rows]  # sorted but for a few, which sorts fast
            order += (id for id in self.rows if id not in known)
            self._order = sorted(order, key=self._place)
            self._ordered = True
        return self._order

    async def presort(self) -> None:
        """Order a first list by parts, so that what is left for `by_name` is short."""
        ids = list(self.rows)
        for start in range(0, len(ids), LOOKED_AT_ONCE):
            self._order += sorted(ids[start : start + LOOKED_AT_ONCE], key=self._place)
            await asyncio.sleep(0)

    def _place(self, id: str) -> str:
        return f"{self.rows[id].name}\0{id}"  # no name has a character before or like this one

    def put(self, machines: Iterable[str], rows: dict[str, Registered]) -> None:
        """Replace the rows of these machines; those without one are gone."""
        for machine in machines:
            self.rows.pop(machine, None)
            self.derived.forget(machine)
            if machine not in rows:
                self._lines.forget(machine)
        self.rows.update(rows)
        self.unread.update(rows)
        self._ordered = False

    def lines(self, machines: Sequence[str]) -> list[Line]:
        """These machines written as of now; those that are gone are left out."""
        now_ms = self.now_ms(asyncio.get_running_loop().time())
        return self._lines.current(machines, self.rows, self.records, self.settled, now_ms)

    def candidate(self, row: Registered) -> Candidate:
        """What the resolver needs of a machine."""
        return self.derived.candidate(row, self.former.get(row.id, ()))

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


class Directory:
    """Every question about machines. Rows are read again when the table of changes names them, presence when its
    version moved."""

    def __init__(self, registry: Registry, presence: Presence, tail: Tail, unix_ms: Callable[[], int]) -> None:
        self._registry = registry
        self._presence = presence
        self._tail = tail
        self._unix_ms = unix_ms
        self._views: OrderedDict[str, View] = OrderedDict()
        self._reading: dict[str, asyncio.Lock] = {}
        tail.listen(self._changed, self._forget_all)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            view = self._views.get(change.workspace) if change.workspace is not None else None
            if view is None or change.workspace is None:
                continue
            if change.kind in ("machine", "machine-revoked") and len(view.stale) < ROWS_AGAIN:
                view.stale[change.subject] = object()
            else:  # owners, names of people and workspaces are in every row
                del self._views[change.workspace]

    def _forget_all(self) -> None:
        self._views.clear()

    async def machines(self, workspace: str) -> View:
        """A view whose rows and bands are of this moment; in a large workspace last-seen times may be some seconds old.
        There it costs one look at the table, one at what rang since the last, and reading who rang or is silent.
        Raises `Unavailable`."""
        await self._catch_up()
        async with self._reading.setdefault(workspace, asyncio.Lock()):
            view = await self._rows(workspace)
            await self._read_presence(workspace, view)
        return view

    async def lately(self, workspace: str) -> View:
        """A view with current rows and presence as it was last read; raises `Unavailable`."""
        await self._catch_up()
        async with self._reading.setdefault(workspace, asyncio.Lock()):
            view = await self._rows(workspace)
            if view.version < 0:
                await self._read(workspace, view)
        return view

    async def _rows(self, workspace: str) -> View:
        view = self._views.get(workspace)
        if view is None:
            view = await self._load(workspace)
        elif view.stale:
            asked = dict(view.stale)  # stays marked until the rows are here: nobody may take the old ones for current
            rows = await self._registry.machines.get_many(list(asked))
            view.former = await self._registry.machines.former(workspace, self._unix_ms())
            settled = [id for id, mark in asked.items() if view.stale.get(id) is mark]  # not named again meanwhile
            view.put(settled, {id: rows[id] for id in settled if id in rows})
            for id in settled:
                del view.stale[id]
            view.rows_at = asyncio.get_running_loop().time()
        if workspace in self._views:
            self._views.move_to_end(workspace)
        return view

    async def _catch_up(self) -> None:
        try:
            await self._tail.catch_up()
        except Unavailable:  # answer from memory what can be answered from memory
            now = asyncio.get_running_loop().time()
            if not any(now - view.rows_at < STALE_ROWS_SECONDS for view in self._views.values()):
                raise

    async def _load(self, workspace: str) -> View:
        while True:
            number = self._tail.number
            rows = await self._registry.machines.list([workspace])
            former = await self._registry.machines.former(workspace, self._unix_ms())
            view = View({row.id: row for row in rows}, former, asyncio.get_running_loop().time())
            await view.presort()
            if number == self._tail.number:  # else a change that landed meanwhile may be missing
                break
        self._views[workspace] = view
        while len(self._views) > WORKSPACES:
            self._views.popitem(last=False)
        return view

    async def _read_presence(self, workspace: str, view: View) -> None:
        now = asyncio.get_running_loop().time()
        if len(view.rows) <= FEW or now - view.whole_at >= WHOLE_SECONDS:
            await self._read(workspace, view)
            return
        since = await self._presence.since(workspace, view.version)
        if since.rung is None or since.settled != view.settled:
            await self._read(workspace, view)
            return
        if now - view.beats_at >= BEATS_SECONDS:
            connected = [record for record in view.records.values() if record.connected]
            view.records.update((record.machine, record) for record in await self._presence.beats(workspace, connected))
            view.beats_at = now
        rung = {id for id in since.rung if id in view.rows}
        again = rung | view.unread | set(await view.silent(since.now_ms))
        if again:
            await self._read(workspace, view, list(again))
        view.version = since.version

    async def refresh(self, workspace: str, view: View, machines: Sequence[str] | None = None) -> None:
        """Read presence again, of all or of some machines; raises `Unavailable`."""
        async with self._reading.setdefault(workspace, asyncio.Lock()):  # else the older of two may be the last
            await self._read(workspace, view, machines)

    async def _read(self, workspace: str, view: View, machines: Sequence[str] | None = None) -> None:
        ids = list(view.rows) if machines is None else machines
        readout = await self._presence.read(workspace, ids)
        now = asyncio.get_running_loop().time()
        if machines is None:
            view.records = readout.records
            view.version = readout.version
            view.whole_at = view.beats_at = now
        else:
            for machine in machines:
                view.records.pop(machine, None)
            view.records.update(readout.records)
        view.unread.difference_update(ids)
        view.settled = readout.settled
        view.read_ms, view.read_at = readout.now_ms, now

    def describe(self, identity: Identity, view: View, machine: str) -> Machine | None:
        """The machine as `identity` may see it now, or None if it does not exist for them."""
        row = view.rows.get(machine)
        if row is None or not access.may(identity, "see", row.workspace, row):
            return None
        now_ms = view.now_ms(asyncio.get_running_loop().time())
        can = access.capabilities(identity, row)
        return rules.describe(row, view.records.get(machine), now_ms, view.settled, can)

    async def registered(self, identity: Identity, machine: str) -> Registered:
        """What the registry keeps of a machine that `identity` may see; raises `NotFound`, in the same words."""
        await self._catch_up()
        for workspace in identity.roles:
            row = (await self._rows(workspace)).rows.get(machine)
            if row is not None and access.may(identity, "see", workspace, row):
                return row
        raise NotFound("there is nothing here that you may see")

    async def row(self, workspace: str, machine: str) -> Registered:
        """What the registry keeps of a machine, from memory if it can; raises `NotFound`, for revoked ones too."""
        view = await self._rows(workspace)
        if machine not in view.rows:
            raise NotFound("there is nothing here that you may see")
        return view.rows[machine]

    async def find(self, identity: Identity, machine: str) -> Machine:
        """One machine with its presence; raises `NotFound` if it does not exist for `identity`."""
        row = await self.registered(identity, machine)
        view = await self.lately(row.workspace)
        await self.refresh(row.workspace, view, [machine])
        found = self.describe(identity, view, machine)
        if found is None:
            raise NotFound("there is nothing here that you may see")
        return found

    async def resolve(self, identity: Identity, workspace: str, query: str) -> tuple[Machine, resolver.MatchedBy]:
        """The one machine that a person means, and which tier matched; raises what `rules.resolver.resolve` raises."""
        view = await self.lately(workspace)
        match = resolver.resolve(query, await candidates(identity, view.rows, view.former, view.derived))
        await self.refresh(workspace, view, [match.candidate.id])
        found = self.describe(identity, view, match.candidate.id)
        if found is None:
            raise NotFound("there is nothing here that you may see")
        return found, match.matched_by
