"""Watches a fleet from nodes that survive: browsers that subscribe, lists that are asked for, records, and the lag."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from loadtests.numbers import summary
from loadtests.seeding import PREFIX
from loadtests.servers import Servers
from relay.client.api import api
from relay.client.connection import Connection, Options, connected
from relay.client.subscription import Subscription
from relay.errors import RelayError
from relay.rules.browser_messages import MachineChanged, MachineGone, Snapshot
from relay.rules.machine import Machine
from relay.rules.messages import Message
from relay.store import Keys, Leases, Presence, open_memory

RECORDS_SECONDS = 0.5  # between two looks at who holds whom: the grain of the times that come of it
LIST_SECONDS = 2.0  # between two lists of everything, each a tenth of a second of some node's work
PROBE_SECONDS = 0.1  # between two probes of each surviving node
COMPLETE_SECONDS = 120.0


class Told(Subscription):
    """A browser that remembers whom it was ever told to be offline, gone or unconnected."""

    def __init__(self, connection: Connection, workspace: str) -> None:
        super().__init__(connection, workspace)
        self.offline: set[str] = set()
        self.unconnected: set[str] = set()
        self.changes_told = 0

    def on_message(self, message: Message) -> None:
        """Look at each machine before the picture takes it in."""
        match message:
            case Snapshot(machines=machines):
                self._look(machines)
            case MachineChanged(machine=machine):
                self.changes_told += 1
                self._look([machine])
            case MachineGone(id=id):
                self.offline.add(id)
        super().on_message(message)

    def forget(self) -> None:
        """From here on it counts."""
        self.offline.clear()
        self.unconnected.clear()
        self.changes_told = 0

    def _look(self, machines: Iterable[Machine]) -> None:
        for machine in machines:
            if not machine.online:
                self.offline.add(machine.id)
            elif not machine.connected:
                self.unconnected.add(machine.id)


class Watch:
    """Everything that is seen of the fleet without asking its agents."""

    def __init__(self, servers: Servers, survivors: Sequence[str], told: Sequence[Told], presence: Presence) -> None:
        self.listed_offline: set[str] = set()
        self.listed_unconnected: set[str] = set()
        self.lists = 0
        self.last_list: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.lag_ms: list[float] = []
        self._servers = servers
        self._survivors = survivors
        self._told = told
        self._presence = presence

    async def complete(self, machines: int) -> None:
        """Wait until every browser shows the whole fleet connected; raises `TimeoutError`."""
        async with asyncio.timeout(COMPLETE_SECONDS):
            for told in self._told:
                # Looked at now and then: counting ten thousand machines at each change would be the load itself.
                while sum(machine.connected for machine in told.machines.values()) < machines:  # noqa: ASYNC110
                    await asyncio.sleep(RECORDS_SECONDS)

    def begin(self) -> None:
        """From here on what is told counts."""
        for told in self._told:
            told.forget()

    async def holders(self, machines: Sequence[str]) -> dict[str, str]:
        """The boot id of the node that holds each machine, of those that are connected and not offline."""
        readout = await self._presence.read(self._servers.workspace, machines)
        return {
            id: record.node
            for id, record in readout.records.items()
            if record.connected and record.reason is None and readout.now_ms <= record.deadline_ms
        }

    async def list_often(self) -> None:
        """Ask for the list of everything, as a page does, and note who is not online in it."""
        async with api([self._survivors[0]], self._servers.token) as caller:
            while True:
                await asyncio.sleep(LIST_SECONDS)
                try:
                    machines = await caller.machines(workspace=self._servers.workspace, limit=10_000)
                except RelayError as error:
                    self.failed[error.code] += 1
                    continue
                self.lists += 1
                self.last_list = Counter(machine["state"] for machine in machines if machine["connected"])
                self.listed_offline |= {machine["id"] for machine in machines if not machine["online"]}
                self.listed_unconnected |= {machine["id"] for machine in machines if not machine["connected"]}

    async def probe_often(self, node: str) -> None:
        """Ask a node whether it is alive; how long that takes is its loop's lag and that of a busy host."""
        loop = asyncio.get_running_loop()
        async with api([node], self._servers.token) as caller:
            while True:
                began = loop.time()
                try:
                    await caller.get("/healthz")
                except RelayError as error:
                    self.failed[error.code] += 1
                self.lag_ms.append((loop.time() - began) * 1000)
                await asyncio.sleep(PROBE_SECONDS)

    def offline(self) -> set[str]:
        """Every machine that anybody here was told or shown to be offline."""
        return self.listed_offline.union(*(told.offline for told in self._told))

    def as_data(self) -> dict[str, object]:
        """What was seen."""
        unconnected = self.listed_unconnected.union(*(told.unconnected for told in self._told))
        return {
            "browsers": len(self._told),
            "changesTold": sum(told.changes_told for told in self._told),
            "lists": self.lists,
            "shownOffline": len(self.offline()),
            "shownUnconnected": len(unconnected),
            "lastList": dict(self.last_list),
            "failedCalls": dict(self.failed),
            "probeMs": summary(self.lag_ms),
        }


@asynccontextmanager
async def watching(servers: Servers, survivors: Sequence[str], random: Random) -> AsyncIterator[Watch]:
    """One browser on each surviving node, and whoever asks for lists, records and signs of life."""
    redis = open_memory(servers.redis_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        browsers = []
        for node in survivors:
            connection = await stack.enter_async_context(connected([node], servers.token, Options(random=random)))
            told = Told(connection, servers.workspace)
            connection.listeners.add(servers.workspace, told)
            connection.own(told.keep())
            browsers.append(told)
        yield Watch(servers, survivors, browsers, Presence(redis, Keys(PREFIX)))


async def boot_of(servers: Servers, url: str) -> str:
    """The boot id of the node that listens there; raises `StopIteration` if there is none."""
    redis = open_memory(servers.redis_url)
    try:
        return next(lease.boot for lease in await Leases(redis, Keys(PREFIX)).live() if lease.url == url)
    finally:
        await redis.aclose()
