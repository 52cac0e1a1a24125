"""Carries out what an operator asks of this node through Redis: to drain, or to offer a share of its agents."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from relay.errors import RelayError
from relay.node.offers import Offers
from relay.rules.timing import LEASE_RENEW_SECONDS
from relay.store import AnyOrder, DrainOrder, OfferOrder, Orders

REMEMBERED = 100  # orders that were carried out and that Redis may still list, because it did not answer then


class Orderly:
    """Looks for orders at every ring, and as often as it renews its lease, for rings may be lost."""

    def __init__(self, boot: str, orders: Orders, offers: Offers) -> None:
        self._boot = boot
        self._orders = orders
        self._offers = offers
        self._known: deque[str] = deque(maxlen=REMEMBERED)
        self._rung = asyncio.Event()
        self._draining: list[DrainOrder] = []  # what this node drains for, also when Redis forgets it
        self.asked_to_drain = asyncio.Event()

    def rung(self, _message: bytes = b"") -> None:
        """There may be an order: look now."""
        self._rung.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except RelayError as error:
                structlog.get_logger().warning("orders cannot be read", why=error.message)
            try:
                async with asyncio.timeout(LEASE_RENEW_SECONDS):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()

    async def look(self) -> None:
        """Carry out what is new; raises `Unavailable`."""
        for order in await self._orders.given(self._boot):
            if order.id in self._known:
                continue
            self._known.append(order.id)
            structlog.get_logger().info("an operator gave an order", order=type(order).__name__, id=order.id)
            await self._obey(order)

    async def _obey(self, order: AnyOrder) -> None:
        match order:
            case DrainOrder():
                self._draining.append(order)  # it stays listed until it has been carried out: see `drained`
                self.asked_to_drain.set()
            case OfferOrder():
                self._offers.share(order.to)
                await self._orders.done(self._boot, order)

    async def drained(self) -> None:
        """The node is empty: whoever ordered it may know."""
        try:
            given = [order for order in await self._orders.given(self._boot) if isinstance(order, DrainOrder)]
            for order in dict.fromkeys([*self._draining, *given]):  # the latest last: its id is what is noted
                await self._orders.done(self._boot, order)
        except RelayError as error:
            structlog.get_logger().warning("nobody can be told that the node is drained", why=error.message)
