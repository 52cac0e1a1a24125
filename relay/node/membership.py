"""Keeps this node's lease and knows which other nodes live."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import structlog

from relay.errors import RelayError
from relay.node.agent import Agent
from relay.node.browser import Browser
from relay.node.hub import Hub
from relay.node.trust import Trust
from relay.rules.agent_messages import Pace
from relay.rules.messages import Nodes
from relay.rules.timing import LEASE_RENEW_SECONDS, LEASE_SECONDS
from relay.store import Lease, Leases, Marks, enter

NOTHING_SAID = Marks()


TOLD_AT_ONCE = 500  # peers, without giving the loop back: two milliseconds


class Membership:
    """The cluster as this node sees it, which a Redis that forgets or does not answer does not change at once."""

    def __init__(
        self, boot: str, url: str, started_ms: int, leases: Leases, hub: Hub, marks: Marks = NOTHING_SAID
    ) -> None:
        self._boot = boot
        self._url = url
        self._started_ms = started_ms
        self._leases = leases
        self._hub = hub
        self._marks = marks
        self._others: dict[str, tuple[Lease, float]] = {}  # with when it was last listed, monotonic seconds
        self._forgotten: dict[str, tuple[Lease, float]] = {}  # those of them that Redis lost, and not by their leave
        self.trust = Trust(lambda: False, 0.0)  # until the wiring knows of a registry
        self.draining = False
        self.rhythm: int | None = None  # revision of the times that this node keeps
        self._left = False
        self.renewed_at: float | None = None  # monotonic seconds

    async def enter(self) -> None:
        """Be listed for the first time. Raises `Misconfigured` if this node could not verify what others sign, and
        `Unavailable`."""
        await enter(self._leases, self._lease())

    async def renew(self) -> None:
        """Renew the lease, and then read the others': whatever becomes of that, this node has said that it lives. Who
        came while it knew of no others is told of them. Raises `Unavailable`. Does nothing once this node has left."""
        if self._left:
            return  # else whoever watches it leave would wait for a lease that nobody holds
        known = await self._tell()
        if self._left:
            return
        now = self.renewed_at = asyncio.get_running_loop().time()
        if not known:
            # Redis forgot us, so it forgot others. If it did so before, they have had no time to be listed in between.
            self._forgotten |= {boot: (lease, now) for boot, (lease, _) in self._others.items()}
        live, vanished = await self._leases.listed()
        listed = {lease.boot: (lease, now) for lease in live if lease.boot != self._boot}
        # They may live until they have had a lease's time to be listed again, for each renews in its own rhythm.
        unlisted = {boot: each for boot, each in self._forgotten.items() if boot not in listed}
        self._forgotten = {boot: (lease, at) for boot, (lease, at) in unlisted.items() if now - at < LEASE_SECONDS}
        lost = [boot for boot, (lease, _) in unlisted.items() if boot not in self._forgotten and not lease.draining]
        alone = len(self.urls()) == 1
        self._others = listed | self._forgotten
        missed = [boot for boot in vanished if boot != self._boot]
        self.trust.look(now, [lease for lease, _ in self._others.values()], missed, lost)
        if alone and len(self.urls()) > 1:
            await self._say_where()

    async def _say_where(self) -> None:
        """Tell everybody here where else the cluster listens: if this node died, they would look for no other."""
        peers: list[Agent | Browser] = list(self._hub.agents.values())
        peers += [browser for browser in self._hub.browsers if browser.client]  # those who have been welcomed
        for count, peer in enumerate(peers, 1):
            peer.send(Nodes(nodes=self.urls()))
            if count % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def say_pace(self, beat_seconds: float) -> None:
        """Tell every agent here how often to beat; one of an older version does not understand, and beats as before."""
        for count, agent in enumerate(list(self._hub.agents.values()), 1):
            agent.send(Pace(beat_seconds=beat_seconds))
            if count % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _tell(self) -> bool:
        """Renew the lease; whether Redis knew it. Of two who do so at once the one that began first may land last, and
        what it says be no longer true: then it says so again."""
        lease = self._lease()
        known = await self._leases.renew(lease)
        if self._left:
            await self._leases.release(self._boot)
        elif lease.draining != self.draining:
            await self._leases.renew(self._lease())
        return known

    def _lease(self) -> Lease:
        return Lease(
            boot=self._boot,
            url=self._url,
            started_ms=self._started_ms,
            draining=self.draining,
            agents=len(self._hub.agents),
            browsers=len(self._hub.browsers),
            marks=self._marks,
            tokens=Counter(agent.secret for agent in self._hub.agents.values() if agent.secret),
            rhythm=self.rhythm,
            away=self.trust.away(),
        )

    async def run(self) -> None:
        """Renew until cancelled, as often as promised however long a server that hangs makes it take."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.renew()
            except RelayError as error:
                structlog.get_logger().warning("the lease cannot be renewed", why=error.message)
            await asyncio.sleep(max(0.0, began + LEASE_RENEW_SECONDS - loop.time()))

    async def leave(self) -> None:
        """Take this node off the list, once; that the lease ends by itself is good enough if Redis does not answer."""
        if self._left:
            return
        self._left = True
        try:
            await self._leases.release(self._boot)
        except RelayError as error:
            structlog.get_logger().warning("the lease is left to end", why=error.message)

    @property
    def lapsed(self) -> bool:
        """Whether others may believe that this node is gone."""
        now = asyncio.get_running_loop().time()
        return self.renewed_at is None or now - self.renewed_at > LEASE_SECONDS

    @property
    def misconfigured(self) -> bool:
        """Whether the cluster's Redis became another's, or is divided otherwise: who came here would meet nobody."""
        return self._leases.misconfigured

    def alive(self, listed: Iterable[str]) -> set[str]:
        """The boot ids of nodes that may live, given those that Redis lists now: these, and those that it forgot."""
        found = set(listed)
        return found | set(self._forgotten if self._boot in found else self._others)

    def boots(self) -> list[str]:
        """The boot ids of all other nodes."""
        return list(self._others)

    def urls(self) -> list[str]:
        """Where the cluster listens: nodes that take newcomers, this one first unless it drains."""
        own = [] if self.draining else [self._url]
        return list(dict.fromkeys([*own, *self.others()])) or [self._url]

    def others(self) -> list[str]:
        """Where other nodes that take newcomers listen; behind a balancer that is this node's own address too."""
        return list(dict.fromkeys(lease.url for lease, _ in self._others.values() if not lease.draining))
