"""Carries messages between nodes: publishes at once, calls back at once, and says when it may have missed something."""

from __future__ import annotations

from collections.abc import Callable

from relay.store.keys import Keys

Callback = Callable[[bytes], None]
BUS_BYTES = 8 * 1024 * 1024  # what may wait for Redis to read; all lanes' windows together are at most 6 MiB


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

    @property
    def connected(self) -> bool:
        """Whether messages can be published now."""
        raise NotImplementedError

    @property
    def deaf(self) -> bool:
        """Whether the bus has not heard its own voice for 5 s (or never yet): the node is not ready."""
        raise NotImplementedError

    @property
    def waiting_bytes(self) -> int:
        """How much has been published and not yet taken by the operating system."""
        raise NotImplementedError

    def publish(self, channel: str, data: bytes) -> None:
        """Send at the end of this loop tick, in order, in one write with all others of the tick; raises `Unavailable`
        when not connected and `LimitReached` when too much waits. Whether anybody listens is not known."""
        raise NotImplementedError

    def subscribe(self, channel: str, callback: Callback) -> None:
        """Call back with each message's bytes, from inside the socket read, until unsubscribed; a second call for the
        same channel replaces the callback. Survives reconnects."""
        raise NotImplementedError

    def unsubscribe(self, channel: str) -> None:
        """Stop; unknown channels are fine."""
        raise NotImplementedError

    async def confirmed(self, channel: str) -> None:
        """Wait until Redis has confirmed the subscription: what is published from here on is heard (while connected)."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until the bus is connected, subscribed to everything and has heard itself once."""
        raise NotImplementedError

    async def run(self) -> None:
        """Connect, serve, reconnect, for ever; ends only by being cancelled, and then leaves no connection."""
        raise NotImplementedError
