"""Carries one WebSocket straight over its transport: one callback per read, ready bytes out, no task and no queue."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, cast

import structlog

from relay.errors import Close, RelayError, Unavailable
from relay.node.errands import Errands
from relay.node.keepalive import Keepalive
from relay.node.socket import CONTROL_MARGIN_BYTES, DRAINED_BYTES, FAREWELL_SECONDS, LOST, Listener
from relay.rules import websocket
from relay.rules.limits import CONTROL_BYTES, FRAME_BYTES, KIB, OUTBOX_BYTES
from relay.rules.websocket import BINARY, CLOSE, PING, PONG, TEXT, Event

RESUMED_BYTES = 64 * KIB  # the transport tells again when so little waits
GREEDY_BYTES = 128 * KIB  # in one read; uvloop makes 32 of up to 250 KB before it is anybody else's turn
LATE_SECONDS = 0.01  # between two such reads of what comes after our close, and is read for the peer's close alone
LINGER_SECONDS = 1.0  # for the close frame of a peer that does not answer pings


class Carriage:
    """What all directly carried sockets of a node share."""

    def __init__(self, errands: Errands, keepalive: Keepalive) -> None:
        self.errands = errands
        self.keepalive = keepalive
        self.loop = asyncio.get_running_loop()


class DirectSocket(asyncio.Protocol):
    """One accepted WebSocket. The transport's own buffer is the outbox; below `DRAINED_BYTES` nobody looks at its size.

    Life of a connection: *early* (accepted, nobody listens yet: what arrives is held and reading pauses), *open*,
    *closing* (`closing` says why; what arrives is dropped, but for the peer's close), over (`closed` was called).
    """

    __slots__ = ("_awaited", "_behind", "_carriage", "_drained", "_early", "_full", "_listener", "_over", "_ping",
                 "_reader", "_tasks", "_timer", "_transport", "closing", "slot")  # fmt: skip

    def __init__(self, carriage: Carriage) -> None:
        self._carriage: Final = carriage
        self._reader: Final = websocket.Reader(FRAME_BYTES)
        self._transport: asyncio.Transport
        self._listener: Listener | None = None
        self._early: list[Event] | None = None
        self._full = False  # so much waits to be sent that its size matters
        self._drained: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None
        self._timer: asyncio.TimerHandle | None = None  # cuts the connection of a peer that does not let itself close
        self._awaited: bytes | None = None  # the payload of a ping without its pong
        self._behind = 0  # how much waited to be sent at its turn to be pinged, in bytes
        self._ping: bytes | None = None  # the peer's latest, to be answered when something can be sent again
        self._over: tuple[int, str] | None = None
        self.closing: Close | None = None
        self.slot = 0

    # --- what the node does with it ----------------------------------------------------------------------------

    def send_text(self, data: bytes) -> bool:
        """See `Carrier`; a peer whose outbox cannot even take control messages is closed as a slow consumer."""
        if self.closing is not None:
            return True
        if self._full and self._waiting() + len(data) > OUTBOX_BYTES + CONTROL_MARGIN_BYTES:
            self.close(Close.SLOW_CONSUMER)
            return False
        self._transport.write(websocket.frame(TEXT, data))
        return True

    def send_binary(self, data: bytes) -> bool:
        """See `Carrier`."""
        return self.send_ready(websocket.frame(BINARY, data))

    def send_ready(self, data: bytes) -> bool:
        """See `Carrier`."""
        if self.closing is not None:
            return True  # it is leaving; nobody is slow
        if self._full and self._waiting() + len(data) > OUTBOX_BYTES:
            return False
        self._transport.write(data)
        return True

    def _waiting(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def backlog_bytes(self) -> int:
        """See `Pinged`; below `DRAINED_BYTES` nobody is behind."""
        return self._waiting() if self._full else 0

    async def drained(self) -> None:
        """See `Carrier`."""
        while self._full and self.closing is None:
            if self._drained is None:
                self._drained = self._carriage.loop.create_future()
            await asyncio.shield(self._drained)  # others may wait for it too

    def close(self, code: Close) -> None:
        """See `Carrier`; a peer that neither reads nor answers is cut off after `FAREWELL_SECONDS`."""
        if self.closing is None:
            self._say_close(code, websocket.close_body(int(code), code.reason))

    def _say_close(self, code: Close, body: bytes) -> None:
        self.closing = code
        self._wake()
        self._transport.write(websocket.frame(CLOSE, body))
        self._cut_after(FAREWELL_SECONDS)
        early, self._early = self._early, None
        if early is not None:  # nobody is going to hear it, but what comes behind it may be the peer's answer
            self._transport.resume_reading()
            self._hear_close(early)

    def _cut_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._carriage.loop.call_later(seconds, self._transport.abort)

    def refuse(self, error: RelayError) -> None:
        """See `Carrier`."""
        ours = {"words": error.message} if isinstance(error, Unavailable) else {}  # no words about what a peer sent
        structlog.get_logger().info("a peer is refused", code=int(error.close), why=error.code, **ours)
        self.close(error.close)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Carrier`."""
        if self._over is not None:
            work.close()
            return
        task = self._carriage.errands.start(work, self._failed)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, RelayError):
            self.refuse(error)
        else:
            structlog.get_logger().error("a connection's task failed", exc_info=error)
            self.close(Close.INTERNAL)

    async def serve(self, listener: Listener) -> None:
        """See `Carrier`; returns at once."""
        early, self._early = self._early, None
        self._listener = listener
        if self._over is not None:
            self._tell_end()
        elif early is not None:
            self._transport.resume_reading()
            self._hear(listener, early)

    # --- what the event loop calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done and this connection is ours."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        if not self._transport.is_closing():  # else the peer is gone, and uvloop raises
            self._transport.set_write_buffer_limits(high=DRAINED_BYTES, low=RESUMED_BYTES)
        self._carriage.keepalive.add(self)

    def data_received(self, data: bytes) -> None:
        """One read: every complete message in it is handed over before this returns."""
        events = self._reader.feed(data)
        listener = self._listener
        if listener is not None:
            self._hear(listener, events)
        elif self.closing is not None:
            self._hear_close(events)
        elif events:
            if self._early is None:
                self._transport.pause_reading()
                self._early = []
            self._early += events
            return
        if len(data) > GREEDY_BYTES:  # it has had its turn: else one that floods us with small frames stops everybody
            self._transport.pause_reading()
            if self.closing is None:
                self._carriage.loop.call_soon(self._read_on)
            else:
                self._carriage.loop.call_later(LATE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if self._early is None:
            self._transport.resume_reading()

    def _hear(self, listener: Listener, events: list[Event]) -> None:
        try:
            for kind, body in events:
                if kind == BINARY:
                    if self.closing is None:
                        listener.binary(body)
                elif kind == TEXT:
                    if self.closing is None:
                        self._hear_text(listener, body)
                else:
                    self._control(kind, body)
        except RelayError as error:
            self.refuse(error)
            self._hear_close(events)
        except Exception:
            structlog.get_logger().exception("a message could not be handled")
            self.close(Close.INTERNAL)
            self._hear_close(events)
        if self._listener is not None:  # else it was told the end
            listener.flush()

    def _hear_text(self, listener: Listener, body: bytes) -> None:
        if len(body) > CONTROL_BYTES:
            self.close(Close.TOO_BIG)
        else:
            listener.text(body.decode())  # the reader checked that it is UTF-8

    def _hear_close(self, events: list[Event]) -> None:
        """Of what a peer says after we closed only its own close matters; it is the last event of all."""
        if events and events[-1][0] not in (TEXT, BINARY, PING, PONG):
            self._control(*events[-1])

    def _control(self, kind: int, body: bytes) -> None:
        if kind == PING:
            if self.closing is not None:
                return
            if self._full:
                self._ping = body  # RFC 6455, 5.5.3: of several pings only the latest needs its answer
            else:
                self._transport.write(websocket.frame(PONG, body))
        elif kind == PONG:
            if body == self._awaited:
                self._awaited = None
        elif self.closing is not None:
            self._hang_up(FAREWELL_SECONDS)  # the peer's answer to our close, or garbage instead of one
        else:
            code, reason = websocket.read_close(body)
            self._say_close(Close.NORMAL, body)  # a close is answered by its echo; a failure by what failed
            if kind == CLOSE:
                self._hang_up(FAREWELL_SECONDS)
            else:
                self._turn_away()
            self._end(code, reason)

    def _turn_away(self) -> None:
        """Say nothing more, but go on reading: closed with unread bytes, TCP resets, and a peer that is still sending
        may never read why."""
        if self._transport.can_write_eof():
            with suppress(OSError):  # it is gone already
                self._transport.write_eof()
        else:
            self._transport.close()

    def _hang_up(self, seconds: float) -> None:
        """Close the connection when all is sent, or after so long."""
        self._transport.close()
        self._cut_after(seconds)

    def pause_writing(self) -> None:
        """Called when more than `DRAINED_BYTES` wait."""
        self._full = True

    def resume_writing(self) -> None:
        """Called when at most `RESUMED_BYTES` wait."""
        self._full = False
        self._wake()
        if self._ping is not None and self.closing is None:
            self._transport.write(websocket.frame(PONG, self._ping))
        self._ping = None

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def eof_received(self) -> None:
        """A peer that stops sending without a goodbye is lost; what waits for it is given a little time."""
        self._hang_up(FAREWELL_SECONDS)
        self._end(LOST, "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, whoever ended the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._carriage.keepalive.discard(self)
        self._end(LOST, "")
        self._wake()

    # --- its end -----------------------------------------------------------------------------------------------

    def _end(self, code: int, reason: str) -> None:
        """Stop everything that was done for this connection; a close of ours explains its end better than any other."""
        if self._over is not None:
            return
        if self.closing is None:
            self.closing = Close.NORMAL  # nothing can be sent any more
        elif code == LOST:
            code, reason = int(self.closing), self.closing.reason
        self._over = (code, reason)
        for task in list(self._tasks or ()):
            task.cancel()
        self._tell_end()

    def _tell_end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and self._over is not None:
            try:
                listener.flush()  # what came in the same read as the end came before it
            finally:
                listener.closed(*self._over)

    # --- pings -------------------------------------------------------------------------------------------------

    def ping(self, payload: bytes, frame: bytes) -> None:
        """See `Pinged`."""
        if self.closing is None:
            self._behind = self._waiting()
            if self._awaited is None:  # else one is still on its way to a peer that is slow
                self._awaited = payload
                self._transport.write(frame)

    def check_pong(self) -> None:
        """See `Pinged`: whoever takes its connection for a live one deserves to hear that it is not."""
        if self._awaited is None or self.closing is not None:
            return
        if self._waiting() < self._behind:
            return  # it reads, and the ping may be behind what it has yet to read: it has until its next turn
        code = Close.NO_PONG
        self._say_close(code, websocket.close_body(int(code), code.reason))
        self._hang_up(LINGER_SECONDS)  # it may never read what waits for it
        self._end(LOST, "")

    def leave(self) -> None:
        """See `Pinged`."""
        self.close(Close.GOING_AWAY)
