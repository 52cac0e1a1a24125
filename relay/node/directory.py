"""Joins what the registry keeps of machines with what Redis remembers, for lists, resolver, access checks and feeds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from relay.errors import NotFound, Unavailable
from relay.node.changes import Tail
from relay.node.sight import Derived, candidates
from relay.registry import Change, Registry
from relay.rules import access, presence, resolver
from relay.rules import machine as rules
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered
from relay.rules.presence import Record
from relay.store import Presence

WORKSPACES = 256  # views kept; the least recently used goes first
ROWS_AGAIN = 500  # rows read again one by one; beyond it the whole workspace is read
FEW = 500  # machines whose presence is read at every question: about 5 ms
PRESENCE_SECONDS = 10.0  # for more machines a readout is good for so long while their version stands still
LOOK_AGAIN_MS = 1_000  # bands change by time alone; a second more or less is below what people see
STALE_ROWS_SECONDS = 30.0  # without its database a node answers from memory, but not for ever


class View:
    """One workspace as this node knows it. `rows` are the registry's, `records` are presence as of `now_ms`."""

    def __init__(self, rows: dict[str, Registered], former: dict[str, tuple[str, ...]], read_at: float) -> None:
        self.rows = rows
        self.former = former
        self.rows_at = read_at  # monotonic seconds
        self.stale: set[str] = set()  # machines whose rows must be read again
        self.order: list[str] = []  # ids by name, empty until asked for
        self.records: dict[str, Record] = {}
        self.settled = True
        self.version = -1
        self.read_ms = 0  # Redis's clock at the readout
        self.read_at = 0.0  # and ours, monotonic seconds
        self.whole_at = 0.0  # when all of presence was read, monotonic seconds
        self.until_ms = 0  # bands were looked at for changes by time alone up to this moment of Redis's clock
        self.derived = Derived()

    def by_name(self) -> list[str]:
        """The ids of all machines in the order of a list."""
        if len(self.order) != len(self.rows):
            self.order = sorted(self.rows, key=lambda id: (self.rows[id].name, id))
        return self.order

    def put(self, machines: Iterable[str], rows: dict[str, Registered]) -> None:
        """Replace the rows of these machines; those without one are gone."""
        for machine in machines:
            self.rows.pop(machine, None)
            self.derived.forget(machine)
        self.rows.update(rows)
        self.order = []

    def due(self, now_ms: int) -> list[str]:
        """Machines whose band time alone changes by `now_ms`, unless they were heard since they were read."""
        live, degraded = self.read_ms - presence.LIVE_MS, now_ms - presence.LIVE_MS
        return [
            id
            for id, record in self.records.items()
            if live <= record.heard_ms < degraded or self.read_ms <= record.deadline_ms < now_ms
        ]

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
                view.stale.add(change.subject)
            else:  # owners, names of people and workspaces are in every row
                del self._views[change.workspace]

    def _forget_all(self) -> None:
        self._views.clear()

    async def machines(self, workspace: str) -> View:
        """A view whose rows and bands are of this moment; in a large workspace last-seen times may be some seconds old.
        Without changes it costs one look at the table and one at the workspace's version. Raises `Unavailable`."""
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
                await self.refresh(workspace, view)
        return view

    async def _rows(self, workspace: str) -> View:
        view = self._views.get(workspace)
        if view is None:
            view = await self._load(workspace)
        elif view.stale:
            stale, view.stale = view.stale, set()
            try:
                view.put(stale, await self._registry.machines.get_many(list(stale)))
                view.former = await self._registry.machines.former(workspace, self._unix_ms())
            except BaseException:
                view.stale |= stale
                raise
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
            if number == self._tail.number:  # else a change that landed meanwhile may be missing
                break
        self._views[workspace] = view
        while len(self._views) > WORKSPACES:
            self._views.popitem(last=False)
        return view

    async def _read_presence(self, workspace: str, view: View) -> None:
        now = asyncio.get_running_loop().time()
        good_seconds = PRESENCE_SECONDS if len(view.rows) > FEW else 0.0
        if now - view.whole_at >= good_seconds or await self._presence.version(workspace) != view.version:
            await self.refresh(workspace, view)
        elif view.now_ms(now) >= view.until_ms or not view.settled:
            # Time alone may have changed these; everybody else looks as at the last readout.
            await self.refresh(workspace, view, view.due(view.now_ms(now)))
            view.until_ms = view.read_ms + LOOK_AGAIN_MS

    async def refresh(self, workspace: str, view: View, machines: Iterable[str] | None = None) -> None:
        """Read presence again, of all or of some machines; raises `Unavailable`."""
        readout = await self._presence.read(workspace, machines)
        now = asyncio.get_running_loop().time()
        if machines is None:
            view.records = readout.records
            view.version = readout.version
            view.whole_at = now
            view.until_ms = readout.now_ms + LOOK_AGAIN_MS
        else:
            for machine in machines:
                view.records.pop(machine, None)
            view.records.update(readout.records)
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
        view = await self.machines(row.workspace)
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
