"""Keeps what the bus knows of one server: the wire to it, the channels there, and its own voice among them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from relay.rules.timing import DEAF_SECONDS, PROBE_SECONDS
from relay.store.servers import Address
from relay.store.wire import Wire

BACK_OFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)  # Redis restarts in less than a second; with jitter, one per node


class Branch:
    """The bus at one server. `on_heard` is called when its own voice came back, on a wire that may be new."""

    def __init__(self, address: Address, heard: float, on_heard: Callable[[], None]) -> None:
        self.address = address
        self.heard = heard  # when its voice last came back, by the loop's clock
        self.round_trip_seconds: float | None = None
        self.wire: Wire | None = None
        self.sound = False  # its voice came back on this wire
        self.probe = b""  # the channel of its voice, one that this server holds
        self._channels: set[bytes] = set()
        self._on_heard = on_heard

    @property
    def whole(self) -> bool:
        """Whether every channel is confirmed and its voice came back since."""
        return self.sound and self.wire is not None and self.wire.confirmed.issuperset(self._channels)

    def deaf(self, now: float) -> bool:
        """Whether its voice has not come back for 5 s (or never yet)."""
        return now - self.heard > DEAF_SECONDS

    def carry(self, channels: set[bytes]) -> None:
        """Listen to these channels and no others, its own aside."""
        for channel in self._channels - channels:
            self.leave(channel)
        for channel in channels - self._channels:
            self.join(channel)

    def join(self, channel: bytes) -> None:
        """Listen to one more."""
        self._channels.add(channel)
        if self.wire is not None:
            self.wire.subscribe([channel])

    def leave(self, channel: bytes) -> None:
        """Listen to one less."""
        self._channels.discard(channel)
        if self.wire is not None:
            self.wire.unsubscribe([channel])

    def hear(self, said: bytes) -> None:
        """Its own voice came back."""
        self.heard = asyncio.get_running_loop().time()
        self.round_trip_seconds = self.heard - float(said)
        self.sound = True
        self._on_heard()

    async def serve(self, wire: Wire) -> bool:
        """Use one wire until it breaks or stays deaf; whether it ever worked."""
        self.wire, self.sound = wire, False
        worked = False
        loop = asyncio.get_running_loop()
        opened = loop.time()
        try:
            wire.subscribe([self.probe, *self._channels])
            while not wire.lost.done():
                self.speak(wire)
                await asyncio.wait([wire.lost], timeout=PROBE_SECONDS)
                worked = worked or self.whole
                if loop.time() - max(self.heard, opened) > DEAF_SECONDS:
                    structlog.get_logger().warning("the bus does not hear itself and starts anew")
                    break
        finally:
            wire.abort()
            self.wire, self.sound = None, False
        return worked

    def speak(self, wire: Wire) -> None:
        """Publish the time on its own channel."""
        wire.publish(self.probe, repr(asyncio.get_running_loop().time()).encode())


async def back_off(attempt: int) -> None:
    """Wait before another attempt, longer after each."""
    pause = BACK_OFF_SECONDS[min(attempt, len(BACK_OFF_SECONDS) - 1)]
    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads nodes, keeps no secret
