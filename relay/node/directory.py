"""Joins what the registry keeps of machines with what Redis remembers, for lists, resolver, access checks and feeds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from relay.errors import NotFound, RegistryUnavailable
from relay.node.changes import Tail
from relay.node.sight import candidates
from relay.node.view import View, span
from relay.registry import Change, Registry
from relay.rules import access, resolver
from relay.rules import machine as rules
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered
from relay.store import Presence

WORKSPACES = 256  # views kept; the least recently used goes first
ROWS_AGAIN = 500  # rows read again one by one; beyond it the whole workspace is read
# Whole workspaces read at a time: a node that begins is asked about all of them at once, and whoever waits here does
# not wait for a connection, which has a time limit and is short for everybody else.
LOADS_AT_ONCE = 4
FEW = 500  # machines whose presence is read at every question: about 5 ms


class Directory:
    """Every question about machines. Rows are read again when the table of changes names them, presence when its
    version moved."""

    def __init__(self, registry: Registry, presence: Presence, tail: Tail, unix_ms: Callable[[], int]) -> None:
        self._registry = registry
        self._presence = presence
        self._tail = tail
        self._unix_ms = unix_ms
        self._views: OrderedDict[str, View] = OrderedDict()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._failures = 0  # of readings of rows, whichever workspace's
        tail.listen(self._changed, self._forget_all)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            view = self._views.get(change.workspace) if change.workspace is not None else None
            if view is None or change.workspace is None:
                continue
            if change.kind in ("machine", "machine-revoked") and len(view.stale) < ROWS_AGAIN:
                view.stale[change.subject] = object()
            else:  # owners, names of people and workspaces are in every row
                self._drop(change.workspace)

    def _drop(self, workspace: str) -> None:
        self._views.pop(workspace).dropped = True

    def _forget_all(self) -> None:
        for workspace in list(self._views):
            self._drop(workspace)

    async def machines(self, workspace: str) -> View:
        """A view whose rows and bands are of this moment; in a large workspace last-seen times may be some seconds old.
        There it costs one look at the table, one at what rang since the last, and reading who rang or is silent.
        Raises `Unavailable`."""
        await self._catch_up()
        view = await self._rows(workspace)
        async with view.reading:
            await self._read_presence(workspace, view)
        return view

    async def lately(self, workspace: str) -> View:
        """A view with current rows and presence as it was last read; raises `Unavailable`."""
        await self._catch_up()
        view = await self._rows(workspace)
        if view.version < 0:
            async with view.reading:
                if view.version < 0:  # nobody else has read it meanwhile
                    await self._read(workspace, view)
        return view

    async def _rows(self, workspace: str) -> View:
        """The workspace's view with rows that are no older than this call; whoever else asks waits for one reading."""
        view = self._views.get(workspace)
        if view is None:
            view = self._views[workspace] = View()
            if len(self._views) > WORKSPACES:
                self._drop(next(iter(self._views)))
        self._views.move_to_end(workspace)
        if view.stale or not view.loaded:
            await self._read_rows(workspace, view)
        return view

    async def _read_rows(self, workspace: str, view: View) -> None:
        """Read what is missing. Who waits while a reading of this workspace fails shares its failure: a thousand
        machines that say hello do not wait a thousand timeouts."""
        here, anywhere = view.failures, self._failures
        async with view.loading:
            if not view.loaded:
                _share(view.failures != here)
                async with self._loads:
                    # One workspace that cannot be read says nothing of others, unless the tail has no answer either.
                    _share(self._failures != anywhere and self._tail.away())
                    await self._counted(view, self._load(workspace, view))
            if view.stale:
                _share(view.failures != here)
                await self._counted(view, self._load_again(workspace, view))

    async def _counted(self, view: View, reading: Coroutine[Any, Any, None]) -> None:
        try:
            await reading
        except RegistryUnavailable:
            view.failures += 1
            self._failures += 1
            raise

    async def _load(self, workspace: str, view: View) -> None:
        """Read all rows, once. A change that lands meanwhile and may be missing marks its machine, as in any view. One
        that concerns all rows drops the view from memory: those who asked for it get what was committed when they
        asked, or newer, and whoever asks after that change gets another view. So nothing is ever read twice for one
        question, however fast the table grows."""
        rows = await self._registry.machines.list([workspace])
        former = await self._registry.machines.former(workspace, self._unix_ms())
        await view.load(rows, former)

    async def _load_again(self, workspace: str, view: View) -> None:
        asked = dict(view.stale)  # stays marked until the rows are here: nobody may take the old ones for current
        rows = await self._registry.machines.get_many(list(asked))
        view.former = await self._registry.machines.former(workspace, self._unix_ms())
        settled = [id for id, mark in asked.items() if view.stale.get(id) is mark]  # not named again meanwhile
        view.put(settled, {id: rows[id] for id in settled if id in rows})
        for id in settled:
            del view.stale[id]

    async def _catch_up(self) -> None:
        try:
            await self._tail.catch_up()
        except RegistryUnavailable:  # answer from memory what can be answered from memory
            if not self._tail.vouched():
                raise

    async def _read_presence(self, workspace: str, view: View) -> None:
        now = asyncio.get_running_loop().time()
        due = view.due(now)
        if len(view.rows) <= FEW or view.version < 0 or due is None:
            await self._read(workspace, view)
            return
        since = await self._presence.since(workspace, view.version)
        if since.rung is None or since.settled != view.settled_then:
            await self._read(workspace, view)
            return
        if span(now) > view.looked:
            beating = [record for record in view.records.values() if record.connected and record.machine not in due]
            view.records.update((record.machine, record) for record in await self._presence.beats(workspace, beating))
        rung = {id for id in since.rung if id in view.rows}
        again = due | rung | view.unread | set(await view.silent(since.now_ms))
        if again:
            await self._read(workspace, view, list(again))
        view.version = since.version
        view.looked = span(now)

    async def refresh(self, workspace: str, view: View, machines: Sequence[str] | None = None) -> None:
        """Read presence again, of all or of some machines; raises `Unavailable`."""
        async with view.reading:  # else the older of two may be the last
            await self._read(workspace, view, machines)

    async def _read(self, workspace: str, view: View, machines: Sequence[str] | None = None) -> None:
        ids = list(view.rows) if machines is None else machines
        looked = span(asyncio.get_running_loop().time())
        readout = await self._presence.read(workspace, ids)
        if view.version >= 0 and not readout.settled:
            before = view.records
            vanished = any(id in before and id not in readout.records and before[id].reason is None for id in ids)
            if vanished or view.settled:
                await self._look_who_was_offline(workspace, view)
        if machines is None:
            view.records = readout.records
            view.version, view.settled_then, view.looked = readout.version, readout.settled, looked
        else:
            for machine in machines:
                view.records.pop(machine, None)
            view.records.update(readout.records)
        view.unread.difference_update(ids)
        view.settled = readout.settled
        view.read_ms, view.read_at = readout.now_ms, asyncio.get_running_loop().time()

    async def _look_who_was_offline(self, workspace: str, view: View) -> None:
        """Redis may have lost its memory, and then only the registry knows who was offline before: that somebody came,
        and what sweepers told it, is no change that rows are read again for. So those are read whose row says something
        else than the registry does now, and no others: a flush that came late must not cost all rows. Without the
        registry nobody is taken for offline whose row does not say so."""
        try:
            offline = await self._registry.machines.offline(workspace)
            other = [id for id, row in view.rows.items() if rules.was_offline(row) != (id in offline)]
            for start in range(0, len(other), ROWS_AGAIN):
                rows = await self._registry.machines.get_many(other[start : start + ROWS_AGAIN])
                known = {id: row for id, row in rows.items() if id in view.rows}
                view.put(known, known)  # one that a change names meanwhile stays marked, and is read again
        except RegistryUnavailable:
            return

    def describe(self, identity: Identity, view: View, machine: str) -> Machine | None:
        """The machine as `identity` may see it now, or None if it does not exist for them."""
        row = view.rows.get(machine)
        if row is None or not access.may(identity, "see", row.workspace, row):
            return None
        now_ms = view.now_ms(asyncio.get_running_loop().time())
        can = access.capabilities(identity, row)
        return rules.describe(row, view.records.get(machine), now_ms, view.settled, can)

    async def registered(self, identity: Identity, machine: str) -> Registered:
        """What the registry keeps of a machine that `identity` may see; raises `NotFound`, in the same words. Somebody
        in many teams waits for one row, and not until all of those that nobody has asked about here are read."""
        await self._catch_up()
        unread = False
        for workspace in identity.roles:
            view = self._views.get(workspace)
            if view is None or not view.loaded:
                unread = True
                continue
            row = (await self._rows(workspace)).rows.get(machine)
            if row is not None and access.may(identity, "see", workspace, row):
                return row
        found = await self._registry.machines.look(machine) if unread else None
        if found is None or not access.may(identity, "see", found.workspace, found):
            raise NotFound("there is nothing here that you may see")
        return found

    async def row(self, workspace: str, machine: str) -> Registered:
        """What the registry keeps of a machine, from memory if it can; raises `NotFound`, for revoked ones too."""
        view = self._views.get(workspace)
        if view is None or not view.loaded or machine in view.stale or machine not in view.rows:
            view = await self._rows(workspace)
        else:
            self._views.move_to_end(workspace)
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


def _share(failed: bool) -> None:
    """Raise what another one met meanwhile."""
    if failed:
        raise RegistryUnavailable("the registry does not answer")
