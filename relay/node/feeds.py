"""Tells subscribed browsers what changed about the machines they may see, numbered per socket after filtering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from math import inf

from relay.errors import LimitReached, NotFound, RelayError
from relay.node.browser import Browser
from relay.node.directory import Directory
from relay.node.feed import Feed, Watched
from relay.node.sight import AT_ONCE, essence
from relay.node.socket import Socket
from relay.node.strands import Strands
from relay.node.view import View
from relay.registry import Change
from relay.rules import presence
from relay.rules.browser_messages import LastSeen, MachineChanged, MachineGone, Snapshot, Subscribe, Visible
from relay.rules.limits import SNAPSHOT_MACHINES, SUBSCRIPTIONS_PER_BROWSER
from relay.rules.machine import iso
from relay.rules.timing import LAST_SEEN_BATCH_SECONDS

TICK_SECONDS = 1.0  # bands change with time alone, so someone has to look
GATHER_SECONDS = 0.05  # doorbells that ring together are answered together


class Feeds:
    """All subscriptions of this node. A doorbell or a change names machines; each feed is told what differs for it."""

    def __init__(self, directory: Directory, listen: Callable[[str], None], shard: Callable[[str], int]) -> None:
        self._directory = directory
        self._listen = listen  # to the doorbells of a workspace
        self._watched: dict[str, Watched] = {}
        self.batch_seconds = LAST_SEEN_BATCH_SECONDS
        self._strands = Strands("a feed", shard, self._tick, gather_seconds=GATHER_SECONDS)

    # --- from browsers -----------------------------------------------------------------------------------------

    async def subscribe(self, browser: Browser, ask: Subscribe) -> None:
        """Send the snapshot and follow with changes; raises `NotFound`, `LimitReached` or `Unavailable`."""
        if ask.workspace not in browser.identity.roles:
            raise NotFound("there is nothing here that you may see")
        if len(browser.feeds) >= SUBSCRIPTIONS_PER_BROWSER and ask.workspace not in browser.feeds:
            raise LimitReached("too many workspaces on one socket", limit="SUBSCRIPTIONS_PER_BROWSER")
        self.unsubscribe(browser, ask.workspace)
        feed = Feed(browser, ask.workspace)
        browser.feeds[ask.workspace] = feed
        watched = self._watched.setdefault(ask.workspace, Watched())
        self._listen(ask.workspace)
        watched.feeds.add(feed)  # first in, then read: a change in between marks machines that the next tick compares
        try:
            await self._snapshot(feed, ask.ref)
        except RelayError:
            if browser.feeds.get(ask.workspace) is feed:
                self.unsubscribe(browser, ask.workspace)
            raise

    def unsubscribe(self, browser: Browser, workspace: str) -> None:
        """Stop following; unknown workspaces are fine."""
        feed = browser.feeds.pop(workspace, None)
        watched = self._watched.get(workspace)
        if feed is not None and watched is not None:
            watched.feeds.discard(feed)
            if not watched.feeds:
                del self._watched[workspace]

    def browser_left(self, browser: Browser) -> None:
        """The browser's socket is gone."""
        for workspace in list(browser.feeds):
            self.unsubscribe(browser, workspace)

    def visible(self, browser: Browser, rows: Visible) -> None:
        """These rows are on the screen: tell their last-seen times."""
        feed = browser.feeds.get(rows.workspace)
        if feed is not None:
            feed.visible = tuple(rows.machines)
            feed.told_at = {}

    async def _snapshot(self, feed: Feed, ref: int | None) -> None:
        view = await self._directory.machines(feed.workspace)
        watched = self._watched.get(feed.workspace)
        if watched is not None and view.settled != watched.settled:
            watched.settled = None
        ids = list(view.by_name())
        parts = [ids[start : start + SNAPSHOT_MACHINES] for start in range(0, len(ids), SNAPSHOT_MACHINES)] or [[]]
        seq = feed.next()
        for number, part in enumerate(parts, 1):
            if number > 1:  # a slow browser took its time: what it may see now counts
                await feed.browser.socket.drained()
                view = await self._directory.lately(feed.workspace)
            if feed.browser.feeds.get(feed.workspace) is not feed:
                return  # it left, or may not follow any more
            machines = []
            feed.owed.update(id for id in part if not view.may_show(id))  # told of when their rows are read again
            for id in filter(view.may_show, part):
                machine = self._directory.describe(feed.browser.identity, view, id)
                if machine is not None:
                    machines.append(machine)
                    feed.known[id] = _digest(essence(machine))
            message = Snapshot(
                ref=ref,
                workspace=feed.workspace,
                seq=seq,
                now=iso(view.now_ms(asyncio.get_running_loop().time())),
                machines=machines,
                settled=view.settled,
                more=number < len(parts),
            )
            feed.browser.send(message)
        feed.begun = True

    # --- from the cluster --------------------------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        """The registry changed: the same for machines, and for whole workspaces when people's access changed."""
        for change in changes:
            if change.workspace is None:
                continue
            if change.kind in ("machine", "machine-revoked"):
                self.mark(change.workspace, [change.subject])
            elif change.workspace in self._watched:
                self.again(change.workspace)

    def mark(self, workspace: str, machines: Iterable[str]) -> None:
        """Look at these machines again soon."""
        watched = self._watched.get(workspace)
        if watched is not None:
            watched.dirty.update(machines)
            self._strands.add(workspace)

    def again(self, workspace: str | None = None) -> None:
        """Compare everything again soon, of one workspace or of all: messages may have been missed."""
        for name, watched in self._watched.items():
            if workspace in (None, name):
                watched.read_all_at = 0.0
                for feed in watched.feeds:
                    watched.dirty.update(feed.known)
                self._strands.add(name)

    # --- each second -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer doorbells together, and look each second for bands that changed by themselves, until cancelled. What
        cannot be read is told in a later second."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._strands.run())
            while True:
                await asyncio.sleep(TICK_SECONDS)
                self._look_round()

    def _look_round(self) -> None:
        now = asyncio.get_running_loop().time()
        for workspace, watched in self._watched.items():
            if watched.due(now, self.batch_seconds):
                self._strands.add(workspace)

    async def _tick(self, workspace: str) -> None:
        watched = self._watched.get(workspace)
        if watched is None:
            return  # its last browser left meanwhile
        dirty, watched.dirty = watched.dirty, set()
        now = asyncio.get_running_loop().time()
        try:
            view = await self._directory.lately(workspace)
            all_read = now - watched.read_all_at >= self.batch_seconds or view.settled != watched.settled
            if not all_read:
                due = self._due(watched, view)
                if due | dirty:
                    await self._directory.refresh(workspace, view, list(due | dirty))
                dirty |= due
                all_read = view.settled != watched.settled  # or some would be told by another measure than the others
            if all_read:
                dirty |= await self._read_all(workspace, watched, view)
        except Exception:
            watched.dirty |= dirty
            raise
        for machine in dirty:
            self._expect(watched, view, machine)
        soonest_ms = min(watched.next_change_ms.values(), default=None)
        watched.look_at = inf if soonest_ms is None else now + (soonest_ms - view.now_ms(now)) / 1000
        for feed in list(watched.feeds):
            feed.owed |= dirty
            if feed.begun:
                await self._tell(feed, view)
        if all_read:
            self._tell_last_seen(watched, view)

    async def _read_all(self, workspace: str, watched: Watched, view: View) -> set[str]:
        """Read all presence again; the machines whose record says something else than when feeds last compared them,
        or all when trust itself changed. Others read the same view, so what it said before proves nothing."""
        await self._directory.refresh(workspace, view)
        watched.read_all_at = asyncio.get_running_loop().time()
        if view.settled != watched.settled:
            watched.settled = view.settled
            return set(view.rows)
        records, looked, changed = dict(view.records), watched.looked, set(watched.looked) - set(view.records)
        for at, (id, record) in enumerate(records.items(), 1):
            now_ms = view.now_ms(asyncio.get_running_loop().time())
            if looked.get(id) != _look(record, now_ms):
                changed.add(id)
            else:
                _plan(watched, id, record, now_ms)  # it was heard since, and need not be looked at so soon
            if at % AT_ONCE == 0:
                await asyncio.sleep(0)
        return changed

    def _due(self, watched: Watched, view: View) -> set[str]:
        now_ms = view.now_ms(asyncio.get_running_loop().time())
        return {machine for machine, at in watched.next_change_ms.items() if at <= now_ms}

    def _expect(self, watched: Watched, view: View, machine: str) -> None:
        record = view.records.get(machine)
        now_ms = view.now_ms(asyncio.get_running_loop().time())
        if record is None:
            watched.looked.pop(machine, None)
        else:
            watched.looked[machine] = _look(record, now_ms)
        _plan(watched, machine, record, now_ms)

    async def _tell(self, feed: Feed, view: View) -> None:
        """Tell what differs, a part at a time and only as fast as the browser reads: the rest is owed to it."""
        while any(map(view.may_show, feed.owed)):  # the rest waits for its rows, which the next tick reads again
            if not await _has_room(feed.browser.socket):
                return  # looked at again with the next tick
            if feed.browser.feeds.get(feed.workspace) is not feed:
                return
            for id in list(islice(filter(view.may_show, feed.owed), SNAPSHOT_MACHINES)):
                feed.owed.discard(id)
                self._tell_of(feed, view, id)
            await asyncio.sleep(0)

    def _tell_of(self, feed: Feed, view: View, id: str) -> None:
        machine = self._directory.describe(feed.browser.identity, view, id)
        if machine is None:
            if feed.known.pop(id, None) is not None:
                reason = "" if id in view.rows else "revoked"
                feed.browser.send(MachineGone(workspace=feed.workspace, seq=feed.next(), id=id, reason=reason))
            return
        digest = _digest(essence(machine))
        if feed.known.get(id) != digest:
            feed.known[id] = digest
            feed.browser.send(MachineChanged(workspace=feed.workspace, seq=feed.next(), machine=machine))

    def _tell_last_seen(self, watched: Watched, view: View) -> None:
        for feed in watched.feeds:
            if not feed.begun:
                continue  # the parts of a snapshot have one number, and nothing comes between them
            moved: dict[str, str] = {}
            for id in feed.visible:
                record = view.records.get(id)
                if id in feed.known and record is not None:
                    at = iso(record.heard_ms)
                    if feed.told_at.get(id) != at:
                        moved[id] = feed.told_at[id] = at
            if moved:
                feed.browser.send(LastSeen(workspace=feed.workspace, seq=feed.next(), at=moved))


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).digest()


def _look(record: presence.Record, now_ms: int) -> object:
    band = presence.state(record, now_ms, settled=True, was_offline=False)
    return (record.fence, record.connected, record.reason, record.info, band)


def _plan(watched: Watched, machine: str, record: presence.Record | None, now_ms: int) -> None:
    at = presence.next_change_ms(record, now_ms) if record is not None else None
    if at is None:
        watched.next_change_ms.pop(machine, None)
    else:
        watched.next_change_ms[machine] = at


async def _has_room(socket: Socket) -> bool:
    try:
        async with asyncio.timeout(0):
            await socket.drained()
    except TimeoutError:
        return False
    return True
