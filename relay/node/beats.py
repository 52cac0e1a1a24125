"""Tells Redis every few seconds whom this node heard, and heals what Redis or this node forgot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from relay.errors import Close, RegistryUnavailable, RelayError, Unavailable
from relay.node.agent import Agent
from relay.node.hub import Hub
from relay.node.meters import Meters
from relay.node.standstill import Standstill
from relay.rules import metrics
from relay.rules.presence import Info
from relay.rules.timing import FLUSH_SECONDS
from relay.store import Beat, Lost, Presence, Reannouncement
from relay.store.heartbeats import UNCHECKED

InfoOf = Callable[[Agent], Info]
Load = Callable[[str], Awaitable[int]]  # makes the mirror of a workspace's shard complete; answers up to which change


class Beats:
    """Flushes beats, and acts on each that Redis did not take: announce again, or close."""

    def __init__(self, boot: str, hub: Hub, presence: Presence, info_of: InfoOf, load: Load, meters: Meters) -> None:
        self._boot = boot
        self._hub = hub
        self._presence = presence
        self._info_of = info_of
        self._load = load
        self._meters = meters
        self.standstill = Standstill()
        self.flush_seconds = FLUSH_SECONDS
        self._stood = 0  # standstills after which everybody's fence was compared
        self.flushed_at: float | None = None  # monotonic seconds of the last flush that any of Redis's servers took
        self.away: frozenset[int] = frozenset()  # shards that did not take it
        self._seconds = meters.tally(metrics.FLUSH)

    async def run(self) -> None:
        """Flush every few seconds until cancelled. A server that hangs makes a flush long and not rare: the marks of
        the others' shards are not to become old by it. Machines that are put back, for which the registry may be asked,
        hold up no flush; who is lost meanwhile is lost at the next beat too."""
        loop = asyncio.get_running_loop()
        healing: asyncio.Task[None] | None = None
        try:
            while True:
                began = loop.time()
                try:
                    unknown = await self._tell()
                except RelayError as error:
                    structlog.get_logger().warning("beats wait for Redis", why=error.message)
                    unknown = []
                if healing is not None and healing.done():
                    healing.result()  # raises what was our mistake
                    healing = None
                if unknown and healing is None:
                    healing = asyncio.create_task(self._heal(unknown))
                await asyncio.sleep(max(0.0, began + self.flush_seconds - loop.time()))
        finally:
            if healing is not None:
                healing.cancel()
                await asyncio.gather(healing, return_exceptions=True)

    async def flush(self) -> None:
        """Tell Redis and put back whom it lost; raises `Unavailable`."""
        await self._announce_again(await self._tell())

    async def _tell(self) -> list[Agent]:
        """Tell Redis about everybody heard since the last flush; raises `Unavailable`, and then nobody is forgotten.
        Machines of shards that are away wait for the next flush. After a standstill it is everybody, as of when they
        were heard before: who moved meanwhile is to be let go. Closes who is revoked or replaced; whom Redis does not
        know."""
        now = asyncio.get_running_loop().time()
        self.standstill.look(now)
        dated, stood = self.standstill.dated, self.standstill.count
        agents = self._hub.agents.values()
        heard = [agent for agent in agents if agent.heard > agent.told and dated(agent.heard)]
        told = heard if stood == self._stood else list(agents)
        beats = (  # made one by one: fifty thousand at once keep the collector busy for as long as the flush
            Beat(agent.workspace, agent.machine, agent.fence, self._age_ms(agent, now))
            for agent in told
            if agent.fence is not None
        )
        try:
            lost, self.away = await self._presence.beat(self._boot, beats)
        finally:
            self._seconds.add(asyncio.get_running_loop().time() - now)
        for agent in heard:
            if not self._is_away(agent.workspace):
                agent.told = max(agent.told, min(agent.heard, now))
        self.flushed_at = now
        if not self.away:
            self._stood = stood
        self._meters.beat(len(told))
        return self._unknown(lost)

    def _is_away(self, workspace: str) -> bool:
        return bool(self.away) and self._presence.shard(workspace) in self.away

    def _age_ms(self, agent: Agent, now: float) -> int:
        """How long before the flush a machine was heard for certain; 0 if it was while the flush was being sorted."""
        heard = agent.heard if self.standstill.dated(agent.heard) else agent.told
        return max(0, int(self.standstill.age_seconds(heard, now) * 1000))

    async def _heal(self, unknown: Sequence[Agent]) -> None:
        try:
            await self._announce_again(unknown)
        except RelayError as error:
            structlog.get_logger().warning("machines that Redis lost wait for their next beat", why=error.message)

    def _unknown(self, lost: Sequence[Lost]) -> list[Agent]:
        """Close those of them that are not ours any more; the others."""
        unknown: list[Agent] = []
        for each in lost:
            self._meters.lost(each.reason)
            agent = self._hub.agents.get(each.machine)
            if agent is None:
                continue
            match each.reason:
                case "revoked":
                    agent.socket.close(Close.MACHINE_REVOKED)
                case "replaced":
                    if agent.fence != each.fence:
                        agent.socket.close(Close.DRAINING)  # its redial is told what it needs to know
                case "unknown" | "mirror-behind":
                    unknown.append(agent)
        return unknown

    async def _announce_again(self, agents: Sequence[Agent]) -> None:
        """Put machines back that Redis lost, under the fences they hold; the mirror is made complete first. Without the
        registry it cannot be, but these are connected, and a machine is not offline because we are in trouble."""
        shard = self._presence.shard
        workspaces = {shard(agent.workspace): agent.workspace for agent in agents}
        loaded = dict(zip(workspaces, await asyncio.gather(*map(self._loaded, workspaces.values())), strict=True))
        ready = {each: upto for each, upto in loaded.items() if upto is not None}
        if not ready:
            return
        upto = min(ready.values())
        agents = [agent for agent in agents if shard(agent.workspace) in ready]
        now = asyncio.get_running_loop().time()
        back = [
            Reannouncement(agent.workspace, agent.machine, agent.fence, self._age_ms(agent, now), self._info_of(agent))
            for agent in agents
            if agent.fence is not None
        ]
        for each in await self._presence.reannounce(self._boot, upto, back):
            agent = self._hub.agents.get(each.machine)
            if agent is not None and each.reason == "revoked":
                agent.socket.close(Close.MACHINE_REVOKED)
            elif agent is not None and each.reason == "replaced" and agent.fence != each.fence:
                agent.socket.close(Close.DRAINING)

    async def _loaded(self, workspace: str) -> int | None:
        """Up to which change the mirror of a workspace's shard is complete; None when the shard is away, and then its
        machines are put back when it is there and they beat again."""
        try:
            return await self._load(workspace)
        except RegistryUnavailable:
            return UNCHECKED
        except Unavailable:
            return None
