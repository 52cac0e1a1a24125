"""Speaks RESP on one socket for the bus: one write per loop tick, and a reader that is a plain callback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection

from relay.store.connection import hand_over

ANSWERED_SECONDS = 0.1  # after a publish with an answer those to its channel have none: so late is a refusal known
CHANNELS_KEPT = 1_000  # of which is known when they were answered; every deploy leaves some that nobody publishes to
NEVER = float("-inf")
MAY_SKIP = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n"  # refused where the next one would be
SKIP = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"  # the next command goes without; messages still come

# redis-py's own pub/sub costs an await per message (6-10 µs) and reconnects without a word. So redis-py opens the
# connection, with all it knows of addresses, sentinels, TLS and passwords, and then hands its socket over to this
# class, which reads pushes with hiredis directly (0.4 µs a message). Sharded pub/sub (SPUBLISH, SSUBSCRIBE) works on a
# single server exactly like the classic one, and in a cluster it stays on the channel's own server; redis-py's sharded
# cluster client, which goes deaf after failovers, is not involved.


class Wire(asyncio.Protocol):
    """One RESP3 connection in both directions. Nothing here awaits; `lost` tells when it is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_message: Callable[[bytes, bytes], None]) -> None:
        self.lost: asyncio.Future[None] = loop.create_future()
        self.confirmed: set[bytes] = set()
        self.on_confirmed: Callable[[], None] = lambda: None
        self._loop = loop
        self._on_message = on_message
        self._reader = hiredis.Reader()
        self._writer: asyncio.StreamWriter | None = None  # its collection would close the transport
        self._transport: asyncio.Transport | None = None
        self._asked: Counter[bytes] = Counter()  # subscriptions on their way, by channel
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._skips: bool | None = None  # whether it may leave answers out; None until it answered the first command
        self._answered: dict[bytes, float] = {}  # when Redis was last asked for an answer, by channel and loop's clock

    @classmethod
    async def open(cls, connection: AbstractConnection, on_message: Callable[[bytes, bytes], None]) -> Wire:
        """Connect with redis-py and take its socket over; raises what redis-py raises."""
        wire = cls(asyncio.get_running_loop(), on_message)
        wire._writer = await hand_over(connection, wire)
        wire._transport = cast(asyncio.Transport, wire._writer.transport)
        wire._send(MAY_SKIP)  # not every user of an access list may, and not every service can
        return wire

    @property
    def waiting_bytes(self) -> int:
        """What was sent and not yet taken by the operating system."""
        return self._out_bytes + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    def publish(self, channel: bytes, data: bytes) -> None:
        """Send to a channel at the end of this tick, or with the next `flush`.

        An answer costs Redis a write and this node a read. It says how many listen, which nobody needs, and whether
        the channel is elsewhere now, which may be learnt a moment later: so only some publishes ask for one.
        """
        now = self._loop.time()
        if self._skips and now - self._answered.get(channel, NEVER) < ANSWERED_SECONDS:
            begin = SKIP
        else:
            begin = b""
            if len(self._answered) >= CHANNELS_KEPT:
                self._answered.clear()
            self._answered[channel] = now
        head = b"%b*3\r\n$8\r\nSPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n" % (begin, len(channel), channel, len(data))
        self._send(head, data, b"\r\n")

    def subscribe(self, channels: Iterable[bytes]) -> None:
        """Ask for channels; `confirmed` grows by them."""
        names = list(channels)
        self._asked.update(names)
        self._command(b"SSUBSCRIBE", names)

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """Let channels go."""
        names = list(channels)
        self.confirmed.difference_update(names)
        self._command(b"SUNSUBSCRIBE", names)

    def abort(self) -> None:
        """Cut the connection at once; `lost` follows."""
        if self._transport is not None:
            self._transport.abort()
        else:
            self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if isinstance(answer, hiredis.PushNotification):
                    if answer[0] == b"smessage":
                        self._on_message(answer[1], answer[2])
                    else:
                        self._pushed(answer)
                elif self._skips is None:
                    self._skips = not isinstance(answer, hiredis.ReplyError)
                elif isinstance(answer, hiredis.ReplyError):
                    self._refused(answer)
                # Anything else counts the receivers of a publish.
        except hiredis.ProtocolError as error:
            self._refused(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the event loop."""
        self._transport = self._writer = None
        self._out.clear()
        self._out_bytes = 0
        if not self.lost.done():
            self.lost.set_result(None)

    def _pushed(self, push: list[Any]) -> None:
        match push:
            case [b"ssubscribe", channel, _]:
                self._asked[channel] -= 1
                if self._asked[channel] <= 0:  # else it was let go and asked for again meanwhile
                    del self._asked[channel]
                    self.confirmed.add(channel)
                    self.on_confirmed()
            case [b"sunsubscribe", channel, _] if channel in self.confirmed:
                self._refused(RuntimeError(f"{channel.decode()} has moved to another server"))
            case _:
                pass  # the end of a subscription that was let go, or something that nobody asked for

    def _refused(self, error: Exception) -> None:
        structlog.get_logger().warning("the bus was refused and starts anew", why=str(error))
        self.abort()

    def _command(self, name: bytes, words: list[bytes]) -> None:
        for word in words:  # each alone: a Cluster takes several in one command only if they share a slot
            self._send(hiredis.pack_command((name, word)))  # type: ignore[arg-type]

    def _send(self, *pieces: bytes) -> None:
        if self._transport is None:
            return  # lost in this very tick; whoever listens to `lost` says so
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out += pieces
        self._out_bytes += sum(map(len, pieces))

    def flush(self) -> None:
        """Send what waits for the end of this tick now."""
        pieces, self._out = self._out, []
        self._out_bytes = 0
        if self._transport is not None and pieces:
            self._transport.write(b"".join(pieces))
