"""Says what a connection is to the rest of the node, however it is carried."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from relay.errors import Close, RelayError
from relay.rules.limits import KIB

CONTROL_MARGIN_BYTES = 512 * KIB  # control messages still pass when frames fill the outbox: they say why it is full
DRAINED_BYTES = 256 * KIB  # below this a long answer goes on
FAREWELL_SECONDS = 5.0  # for a peer to read what was sent and to answer our close; then the connection is cut
LOST = 1006  # RFC 6455, section 7.4.1: the connection ended without a close


class Listener(Protocol):
    """Who takes what a peer says. Every call returns at once; one that raises a `RelayError` closes with its code."""

    def text(self, text: str) -> None:
        """A control message."""

    def binary(self, frame: bytes) -> None:
        """A frame."""

    def flush(self) -> None:
        """Everything that came in one read has been handed over."""

    def closed(self, code: int, reason: str) -> None:
        """The connection is over, for this reason; called once, and nothing after it."""


class Socket(Protocol):
    """What the hub needs of a connection: ready bytes out, and an end. Nothing but `drained` waits."""

    def send_text(self, data: bytes) -> bool:
        """Queue a control message; False when the peer is too slow to take it, and then it is being closed."""

    def send_binary(self, data: bytes) -> bool:
        """Queue a frame; False when the outbox is full, and then nothing was queued."""

    def send_ready(self, data: bytes) -> bool:
        """Queue frames that are WebSocket frames already, one or several joined; False as for `send_binary`."""

    async def drained(self) -> None:
        """Wait until little enough is queued that more may be sent; returns at once for a closed socket."""

    def close(self, code: Close) -> None:
        """Close with a code once everything queued is out; later calls change nothing."""


class Carrier(Socket, Protocol):
    """A connection, for whoever speaks with its peer."""

    closing: Close | None  # why this side ends it; None while it does not

    def refuse(self, error: RelayError) -> None:
        """Close with an error's code, after one line in the log."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on behalf of this connection; it ends with the connection, and its error closes it."""

    async def serve(self, listener: Listener) -> None:
        """Hand everything that arrives to `listener`; may return before the connection is over."""
