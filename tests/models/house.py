"""Runs a cluster's real parts in one process without their clocks: the story says when anything happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import Redis

import relay.app
from relay.node import hops
from relay.registry import Change, Person, Registry
from relay.rules import lanes
from relay.rules.lanes import EntryKind
from relay.settings import Settings
from relay.store import Claims, Keys, Pipeline, connect
from relay.web.site import create_web
from relay.web.sockets import Bucket
from tests.models.bells import Bells
from tests.models.steady_loop import SteadyLoop
from tests.support.valkey import Valkey
from tests.web.site import SECRET, Caller, Clock, Site
from workers.sweeper import Sweeper

TICK_SECONDS = 12  # no multiple of it is near a time that decides anything: 10, 15, 30 and 90 seconds
LANE_STEPS = 6  # of a tick: lanes speak more often than anything else happens
TURNS = 6  # of the loop, in which what nodes of one process tell each other arrives

T = TypeVar("T")


class HouseBus:
    """A node's way to the others: what is published arrives with the loop's next turn, or nowhere."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.callbacks: dict[str, Callable[[bytes], None]] = {}
        self.deaf = False

    def publish(self, channel: str, data: bytes, *, control: bool = False, at_once: bool = False) -> None:
        """Hand it to whoever listens."""
        self._house.carry(channel, data)

    def subscribe(self, channel: str, callback: Callable[[bytes], None]) -> None:
        """Listen."""
        self.callbacks[channel] = callback


class Member:
    """One node, and the task that its connections' errands live in."""

    def __init__(self, house: House, node: relay.app.Node, site: Site) -> None:
        self.node = node
        self.site = site
        self.bus = HouseBus(house)
        node.bus = self.bus  # type: ignore[assignment]
        node.bus.subscribe(node.keys.inbox(node.boot), node.lanes.received)
        self.errands = asyncio.get_running_loop().create_task(node.errands.run())
        self._changes: list[Change] = []
        node.tail.listen(self._changes.extend, lambda: None)
        self.doors = replace(node.doors(), bucket=Bucket(1_000.0, 1_000))

    async def catch_up(self) -> None:
        """Read the table of changes, and do what follows."""
        await self.node.tail.catch_up()
        while self._changes:
            changes, self._changes = self._changes[:], []
            await self.node.mirror.follow(changes[0].number - 1, changes)
            await self.node.reactions.react(changes)


class House:
    """Up to two nodes, one sweeper, a registry and a Redis whose clock stands still."""

    def __init__(self, loop: SteadyLoop, stack: AsyncExitStack, valkey: Valkey, registry: Registry) -> None:
        self._loop = loop
        self._stack = stack
        self._valkey = valkey
        self.registry = registry
        self.redis: Redis = connect(valkey.url)
        self.keys = Keys()
        self.members: dict[str, Member] = {}  # by boot id
        self.unheard = asyncio.Event()  # a node that is gone was asked something
        self._loses = False
        self._bells: Bells | None = None
        self._clock = Clock()
        self.workspace = ""

    @classmethod
    async def build(cls, loop: SteadyLoop, stack: AsyncExitStack, valkey: Valkey, database: Path) -> House:
        """Open it without any node."""
        registry = await Registry.open(f"sqlite+aiosqlite:///{database}")
        house = cls(loop, stack, valkey, registry)
        stack.push_async_callback(registry.close)
        stack.push_async_callback(house.redis.aclose)
        return house

    async def start_node(self) -> Member:
        """One more node, with its lease."""
        settings = Settings(redis_url=self._valkey.url, database_url="sqlite+aiosqlite:///unused", secret=SECRET)
        pipeline = Pipeline(settings.redis_url)
        self._stack.push_async_callback(pipeline.aclose)
        node = relay.app.Node(settings, self.registry, self.redis, pipeline)
        await node.tail.begin()
        site = Site(node, node.parts, self._clock, create_web(node.parts), self._valkey)
        member = self.members[node.boot] = Member(self, node, site)
        for each in self.members.values():
            await each.node.membership.renew()
        site.workspace = self.workspace
        return member

    async def found(self, member: Member) -> Person:
        """The first workspace; its owner."""
        await member.site.found()
        self.workspace = member.site.workspace
        self._bells = Bells(self._valkey, self.keys.events(self.keys.shard(self.workspace)))
        return member.site.owner

    def kill(self, member: Member) -> None:
        """A node ends as a process does that is killed: it tells nobody."""
        del self.members[member.node.boot]
        member.errands.cancel()

    async def close(self) -> None:
        """End everything."""
        for member in list(self.members.values()):
            self.kill(member)
        if self._bells is not None:
            self._bells.close()
        await asyncio.sleep(0)
        await self._stack.aclose()

    def caller(self, member: Member, who: Caller) -> Caller:
        """The same person at this node."""
        return Caller(member.site, who.id, who.name, who.token)

    @asynccontextmanager
    async def losing(self) -> AsyncIterator[None]:
        """What nodes tell each other is lost until the block ends; then they hear of it, and begin anew."""
        self._loses = True
        yield
        await self.settle()
        self._loses = False
        for member in self.members.values():
            for other in self.members.keys() - {member.node.boot}:
                member.node.lanes.send_hop(other, hops.NoticeHop(machine=other, code="", text=""))  # for nobody
        await self.settle()

    def carry(self, channel: str, data: bytes) -> None:
        """Hand a message to whoever listens on a channel."""
        if self._loses and ":inbox:" in channel:
            return
        listeners = [member.bus.callbacks.get(channel) for member in self.members.values()]
        found = [callback for callback in listeners if callback is not None]
        if not found and ":inbox:" in channel and _asks(data):
            self.unheard.set()
        for callback in found:
            self._loop.call_soon(callback, data)

    # --- time --------------------------------------------------------------------------------------------------

    def later(self, seconds: int) -> None:
        """Every clock moves, and nothing is done."""
        self._loop.ahead_seconds += seconds
        self._valkey.forward(seconds)
        for member in self.members.values():
            member.node.beats.standstill.look(self._loop.time())

    async def tick(self, beating: Callable[[], None] = lambda: None, begun: int = 0) -> None:
        """Twelve seconds, in which each node does once what it does in that time: `beating`, then a flush."""
        for step in range(begun + 1, LANE_STEPS + 1):
            await self._step(last=step == LANE_STEPS)
        self._valkey.forward(TICK_SECONDS / 2)
        anybody = next(iter(self.members.values())).node
        await anybody.presence.beat(anybody.boot, [])  # who has nobody to tell of, so that silence goes on to count
        self._valkey.forward(TICK_SECONDS / 2)
        beating()
        await self.settle()
        await self.flush()

    async def _step(self, *, last: bool = False) -> None:
        self._loop.ahead_seconds += TICK_SECONDS / LANE_STEPS
        await self._turns()
        for member in self.members.values():
            assert not member.node.beats.standstill.look(self._loop.time()), "time passes in steps that no node minds"
            member.node.router.tick(self._loop.time(), repeat_interest=last)
        await self._turns()

    async def flush(self) -> None:
        """Every node tells Redis whom it heard, renews its lease, and reads the table of changes."""
        for member in list(self.members.values()):
            await member.node.membership.renew()
            await member.node.beats.flush()
            await member.catch_up()
        await self.settle()

    async def drive(self, work: Coroutine[Any, Any, T]) -> tuple[T, int]:
        """See something through that may wait for a node that is gone; its result, and how many ticks it took."""
        self.unheard.clear()
        task, unheard = asyncio.ensure_future(work), asyncio.ensure_future(self.unheard.wait())
        await asyncio.wait({task, unheard}, return_when=asyncio.FIRST_COMPLETED)
        unheard.cancel()
        await self._turns()
        if task.done():
            return task.result(), 0
        await self._step()  # so much that nobody waits any longer
        result = await task
        await self.tick(begun=1)
        return result, 1

    async def settle(self) -> None:
        """Let everything that was said arrive, and what it starts be done."""
        for _ in range(2):
            await self._turns()
            for member in list(self.members.values()):
                await member.node.errands.finished()
            await self._turns()
            assert self._bells is not None
            for bell in self._bells.rung():
                self.carry(self.keys.events(self.keys.shard(self.workspace)), bell)
            await self._turns()

    async def heard(self) -> None:
        """All nodes have read every change and told every browser."""
        for member in list(self.members.values()):
            await member.catch_up()
        await self.settle()
        for member in list(self.members.values()):
            for workspace in list(member.node.feeds._watched):
                await member.node.feeds._tick(workspace)
        await self._turns()

    async def sweep(self) -> None:
        """One round of a sweeper over the workspace."""
        anybody = next(iter(self.members.values())).node
        claims = Claims(self.redis, self.keys)
        sweeper = Sweeper(self.registry, anybody.presence, claims, anybody.parts.leases, self._clock)
        await sweeper.round([self.keys.shard(self.workspace)])

    async def _turns(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)


def _asks(batch: bytes) -> bool:
    """Whether somebody waits for an answer to something in this batch."""
    told = [hops.decode(batch[at:end]) for kind, at, end in lanes.entries(batch) if kind == EntryKind.HOP]
    return any(getattr(hop, "call", 0) for hop in told)
