"""Carries messages between nodes: publishes at once, calls back at once, and says when it may have missed something."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from relay.errors import LimitReached, Unavailable
from relay.rules.limits import MIB
from relay.rules.timing import DEAF_SECONDS, PROBE_SECONDS
from relay.store.connection import connect
from relay.store.keys import Keys
from relay.store.wire import Wire

Callback = Callable[[bytes], None]
BUS_BYTES = 8 * MIB  # what may wait for Redis to read: more than one node's windows, so that it takes a slow Redis
BUS_CONTROL_BYTES = 1 * MIB  # on top for messages that nobody sends again, such as the end of a revoked connection
BACK_OFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)  # Redis restarts in less than a second; with jitter, one per node


def _nothing() -> None:
    """What a bus tells nobody."""


class Bus:
    """One connection for both directions, kept by `run`. `publish`, `subscribe` and callbacks never await.

    `on_lost` is called when the connection breaks: messages of others are being missed from some moment before.
    `on_restored` is called when it is back *and* every channel is confirmed again: read your letters now.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        on_lost: Callable[[], None] = _nothing,
        on_restored: Callable[[], None] = _nothing,
        limit_bytes: int = BUS_BYTES,
    ) -> None:
        self.on_lost = on_lost
        self.on_restored = on_restored
        self.round_trip_seconds: float | None = None  # of the latest probe that came back
        self.losses = 0  # how often a working connection broke
        self._url = url
        self._limit_bytes = limit_bytes
        self._callbacks: dict[bytes, Callback] = {}
        self._probe = keys.probe(secrets.token_hex(8)).encode()
        self._wire: Wire | None = None
        self._heard = float("-inf")  # when the last probe came back, by the loop's clock
        self._restored = asyncio.Event()  # connected, with every channel confirmed and a probe heard
        self._progress = asyncio.Event()  # set and replaced whenever a channel is confirmed

    @property
    def connected(self) -> bool:
        """Whether messages can be published now."""
        return self._wire is not None

    @property
    def deaf(self) -> bool:
        """Whether the bus has not heard its own voice for 5 s (or never yet): the node is not ready."""
        return asyncio.get_running_loop().time() - self._heard > DEAF_SECONDS

    @property
    def waiting_bytes(self) -> int:
        """How much has been published and not yet taken by the operating system."""
        return self._wire.waiting_bytes if self._wire is not None else 0

    def publish(self, channel: str, data: bytes, *, control: bool = False) -> None:
        """Send at the end of this loop tick, in order, in one write with all others of the tick; raises `Unavailable`
        when not connected and `LimitReached` when too much waits, later for control messages than for others. Whether
        anybody listens is not known."""
        wire = self._wire
        if wire is None:
            raise Unavailable("the bus between nodes is not connected")
        limit = self._limit_bytes + BUS_CONTROL_BYTES if control else self._limit_bytes
        if wire.waiting_bytes + len(data) > limit:
            raise LimitReached("the bus between nodes is full", limit="BUS_CONTROL_BYTES" if control else "BUS_BYTES")
        wire.publish(channel.encode(), data)

    def subscribe(self, channel: str, callback: Callback) -> None:
        """Call back with each message's bytes, from inside the socket read, until unsubscribed; a second call for the
        same channel replaces the callback. Survives reconnects."""
        name = channel.encode()
        known = name in self._callbacks
        self._callbacks[name] = callback
        if not known and self._wire is not None:
            self._wire.subscribe([name])

    def unsubscribe(self, channel: str) -> None:
        """Stop; unknown channels are fine."""
        name = channel.encode()
        if self._callbacks.pop(name, None) is not None and self._wire is not None:
            self._wire.unsubscribe([name])

    async def confirmed(self, channel: str) -> None:
        """Wait until Redis confirmed the subscription: what is published from here on is heard (while connected)."""
        name = channel.encode()
        while self._wire is None or name not in self._wire.confirmed:
            await self._progress.wait()

    async def ready(self) -> None:
        """Wait until the bus is connected, subscribed to everything and has heard itself once."""
        await self._restored.wait()

    async def run(self) -> None:
        """Connect, serve, reconnect, for ever; ends only by being cancelled, and then leaves no connection."""
        client = connect(self._url)
        attempt = 0
        try:
            while True:
                try:
                    connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                    wire = await Wire.open(connection, self._deliver)
                except (RedisError, OSError, TimeoutError) as error:
                    structlog.get_logger().warning("the bus cannot reach Redis", why=str(error))
                else:
                    if await self._serve(wire):
                        attempt = 0
                pause = BACK_OFF_SECONDS[min(attempt, len(BACK_OFF_SECONDS) - 1)]
                attempt += 1
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads nodes, keeps no secret
        finally:
            await client.aclose()

    async def _serve(self, wire: Wire) -> bool:
        """Use one connection until it breaks; whether it ever worked."""
        self._wire = wire
        wire.on_confirmed = self._confirmed
        worked = False
        try:
            wire.subscribe([self._probe, *self._callbacks])
            opened = asyncio.get_running_loop().time()
            while not wire.lost.done():
                self._speak(wire)
                await asyncio.wait([wire.lost], timeout=PROBE_SECONDS)
                worked = worked or self._restored.is_set()
                if asyncio.get_running_loop().time() - max(self._heard, opened) > DEAF_SECONDS:
                    structlog.get_logger().warning("the bus does not hear itself and starts anew")
                    break
        finally:
            wire.abort()
            self._wire = None
            if self._restored.is_set():
                self._restored.clear()
                self.losses += 1
                self._tell(self.on_lost)
        return worked

    def _speak(self, wire: Wire) -> None:
        """Publish the time on the bus's own channel."""
        wire.publish(self._probe, repr(asyncio.get_running_loop().time()).encode())

    def _deliver(self, channel: bytes, data: bytes) -> None:
        if channel == self._probe:
            self._hear(float(data))
            return
        callback = self._callbacks.get(channel)
        if callback is None:
            return  # unsubscribed a moment ago
        try:
            callback(data)
        except Exception:
            structlog.get_logger().exception("a message from the bus could not be handled")

    def _hear(self, said: float) -> None:
        self._heard = asyncio.get_running_loop().time()
        self.round_trip_seconds = self._heard - said
        self._check_restored()

    def _confirmed(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _check_restored(self) -> None:
        wire = self._wire
        if self._restored.is_set() or wire is None or not wire.confirmed.issuperset(self._callbacks):
            return
        self._restored.set()
        if self.losses:
            self._tell(self.on_restored)

    def _tell(self, listener: Callable[[], None]) -> None:
        try:
            listener()
        except Exception:
            structlog.get_logger().exception("a listener of the bus failed")
