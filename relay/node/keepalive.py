"""Pings every connection of a node in turn, from one task: a timer per connection would cost memory and wake-ups."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from typing import Protocol

from relay.rules import websocket
from relay.rules.timing import PING_SECONDS, PONG_SECONDS

TICK_SECONDS = 1.0
ROUND_TICKS = int(PING_SECONDS / TICK_SECONDS)
PONG_TICKS = int(PONG_SECONDS / TICK_SECONDS)
PAYLOAD_BYTES = 4  # enough that nobody answers a ping by guessing


class Pinged(Protocol):
    """A connection, as far as it is pinged."""

    slot: int  # whose turn it is when; kept for `Keepalive`

    def ping(self, payload: bytes, frame: bytes) -> None:
        """Send this ready ping; a pong with its payload is awaited from now on."""

    @property
    def backlog_bytes(self) -> int:
        """What waits for a peer that is behind in reading; 0 while it keeps up."""

    def check_pong(self) -> None:
        """Close if the last ping is unanswered."""

    def leave(self) -> None:
        """The process ends: say so and close."""


class Keepalive:
    """Every connection that was taken over, each in one of as many slots as there are ticks between two pings."""

    def __init__(self) -> None:
        self._slots: list[set[Pinged]] = [set() for _ in range(ROUND_TICKS)]
        self._turns = count()
        self._tick = 0
        self._empty: asyncio.Event | None = None  # somebody waits for it

    def add(self, socket: Pinged) -> None:
        """Ping it from now on, first after half a round or later, for a newcomer is alive; and newcomers are spread
        over the slots, so that a storm of them is not pinged at once."""
        half = ROUND_TICKS // 2
        socket.slot = (self._tick + half + next(self._turns) % half) % ROUND_TICKS
        self._slots[socket.slot].add(socket)

    def discard(self, socket: Pinged) -> None:
        """It needs no more pings; twice is as good as once."""
        self._slots[socket.slot].discard(socket)
        if self._empty is not None and not any(self._slots):
            self._empty.set()

    async def empty(self) -> None:
        """Wait until nobody is here."""
        self._empty = asyncio.Event()
        if any(self._slots):
            await self._empty.wait()

    def __iter__(self) -> Iterator[Pinged]:
        """Everybody, while nobody comes or goes."""
        for slot in self._slots:
            yield from slot

    def backlogs(self) -> Iterator[int]:
        """How much waits for each of those who are behind, in bytes."""
        return (waits for slot in self._slots for socket in slot if (waits := socket.backlog_bytes))

    def tick(self) -> None:
        """Ping those whose turn it is, and close those who had theirs and did not answer in time."""
        payload = random.randbytes(PAYLOAD_BYTES)  # noqa: S311 - no secret: it only tells one ping from another
        frame = websocket.frame(websocket.PING, payload)
        for socket in list(self._slots[(self._tick - PONG_TICKS) % ROUND_TICKS]):
            socket.check_pong()
        for socket in list(self._slots[self._tick % ROUND_TICKS]):
            socket.ping(payload, frame)
        self._tick += 1

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()
