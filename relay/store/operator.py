"""Acts for an operator on the nodes of a cluster: finds them, orders them to drain or to share, and follows a drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

from relay.errors import Ambiguous, NotFound, Unavailable
from relay.rules.balance import transfers
from relay.rules.timing import LEASE_RENEW_SECONDS
from relay.store.keys import Keys
from relay.store.leases import Lease, Leases
from relay.store.memory import Memory, open_memory
from relay.store.orders import DrainOrder, OfferOrder, Orders

LOOK_SECONDS = 0.5  # between two looks at a node that drains; it tells its numbers every five seconds
TAKEN_SECONDS = 20.0  # a node looks for orders every five seconds, and says with its next lease that it drains
GONE_SECONDS = LEASE_RENEW_SECONDS * 2  # not listed for so long: a Redis that forgot was told of who lives meanwhile
DRAIN_SECONDS = 4_000.0  # the longest window that a node can be given is an hour; the rest is for stubborn peers
SHORT_CHARACTERS = 8  # of a boot id, enough to tell nodes apart


class Share(NamedTuple):
    """So many agents of one node are asked to move to another."""

    giver: Lease
    taker: Lease
    agents: int


class Operator:
    """The nodes as Redis lists them. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._leases = Leases(redis, keys)
        self._orders = Orders(redis, keys)

    async def nodes(self) -> list[Lease]:
        """All of them, oldest first."""
        return await self._leases.live()

    async def find(self, node: str) -> Lease:
        """The node with this URL, or whose id begins so; raises `NotFound` or `Ambiguous`."""
        live = await self.nodes()
        found = [lease for lease in live if lease.url == node.rstrip("/")]
        found = found or [lease for lease in live if node and lease.boot.startswith(node.lower())]
        if not found:
            known = ", ".join(map(name, live)) or "there is none"
            raise NotFound(f"no node {node!r} in this cluster: {known}")
        if len(found) > 1:
            raise Ambiguous(f"ambiguous node {node!r} — matches: {', '.join(map(name, found))}")
        return found[0]

    async def drain(self, lease: Lease) -> None:
        """Order a node to drain and end."""
        await self._orders.give(lease.boot, DrainOrder(id=str(uuid4())))

    async def follow(self, lease: Lease) -> AsyncIterator[Lease]:
        """A node that was ordered to drain, each time that it tells something new, until it has done so and is gone.
        Raises `Unavailable` if it does not begin, does not end, or is gone without having said that it drained.

        A Redis that forgets proves nothing: the node is listed again with its next renewal, an order that it has not
        taken is given again, and one that it has taken it remembers and notes as done."""
        loop = asyncio.get_running_loop()
        asked_at = listed_at = loop.time()
        before = lease
        while True:
            done = await self._orders.drained(lease.boot)  # first: who has drained notes so before it is gone
            listed, looked_at = await self._lease(lease.boot), loop.time()
            if listed is None and done:
                return
            if listed is not None:
                listed_at = looked_at
                if listed.draining and listed != before:
                    yield listed
                before = listed
            elif looked_at - listed_at > GONE_SECONDS:
                raise Unavailable(f"{name(lease)} is gone, and did not say that it had drained")
            if not before.draining and not done:
                await self._insist(lease, looked_at - asked_at)
            if looked_at - asked_at > DRAIN_SECONDS:
                raise Unavailable(f"{name(lease)} has not drained within {DRAIN_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)

    async def _insist(self, lease: Lease, waited: float) -> None:
        """The node does not drain yet: see that the order is still there."""
        if waited > TAKEN_SECONDS:
            raise Unavailable(f"{name(lease)} does not begin to drain; it will if it comes back to life")
        if not any(isinstance(order, DrainOrder) for order in await self._orders.given(lease.boot)):
            await self.drain(lease)

    async def rebalance(self, *, dry_run: bool = False) -> list[Share]:
        """Order nodes that hold far more agents than the mean to offer what they have beyond it to the others; what
        was asked, or with `dry_run` would be."""
        live = {lease.boot: lease for lease in await self.nodes() if not lease.draining}
        moving = transfers({boot: lease.agents for boot, lease in live.items()})
        shares = [Share(live[giver], live[taker], agents) for giver, taker, agents in moving]
        for boot in dict.fromkeys(share.giver.boot for share in shares if not dry_run):
            await self._orders.give(boot, _offer([share for share in shares if share.giver.boot == boot]))
        return shares

    async def _lease(self, boot: str) -> Lease | None:
        return next((lease for lease in await self.nodes() if lease.boot == boot), None)


@asynccontextmanager
async def open_operator(redis_url: str, prefix: str) -> AsyncIterator[Operator]:
    """Somebody who may speak to the cluster's Redis; raises `Misconfigured`."""
    memory = open_memory(redis_url)
    try:
        yield Operator(memory, Keys(prefix))
    finally:
        await memory.aclose()


def name(lease: Lease) -> str:
    """A node, for people: nodes behind one balancer have one address."""
    return f"{lease.url} ({lease.boot[:SHORT_CHARACTERS]})"


def _offer(shares: list[Share]) -> OfferOrder:
    to: dict[str, int] = {}
    for share in shares:  # behind a balancer all have one address, and the balancer decides
        to[share.taker.url] = to.get(share.taker.url, 0) + share.agents
    return OfferOrder(id=str(uuid4()), to=to)
