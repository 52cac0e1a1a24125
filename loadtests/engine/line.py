"""Speaks the client's side of one WebSocket over a bare transport, for whoever plays thousands of peers."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, cast

from websockets.datastructures import Headers
from websockets.http11 import Response

from loadtests.bench import wire
from relay.client.dial import CLOSE_SECONDS
from relay.client.ends import Closed, Unreachable, end_of
from relay.client.refusal import final_word, turn_seconds
from relay.errors import Close, RelayError
from relay.rules import limits, messages
from relay.rules.messages import Message

HEAD_END = b"\r\n\r\n"
SWITCHING = b" 101 "
WHOLE_BINARY, WHOLE_TEXT = 0x80 | wire.BINARY, 0x80 | wire.TEXT  # a node never sends a message in parts
PRESSED_BYTES = limits.OUTBOX_BYTES // 2  # as the real agent: what can wait should
EASED_BYTES = limits.OUTBOX_BYTES // 8


class Busy(Unreachable):
    """The node answered 503 and said in how many seconds it takes us."""

    def __init__(self, seconds: float) -> None:
        super().__init__("503 with Retry-After")
        self.seconds = seconds


def looked_at(future: asyncio.Future[Any]) -> None:
    """Keep quiet about a failure that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


class Ears(Protocol):
    """Who hears what a node says; every call returns at once."""

    def said(self, line: Line, text: bytes) -> None:
        """A control message."""

    def given(self, line: Line, frame: bytes) -> None:
        """A binary frame."""

    def ponged(self, line: Line, payload: bytes) -> None:
        """The answer to a WebSocket ping."""

    def crowded(self, line: Line) -> None:
        """The connection became full, or has room again."""

    def ended(self, line: Line, end: Closed) -> None:
        """It is over; called once, for a connection that was opened."""


class Line(asyncio.Protocol):
    """One connection. `opened` is done when the node has switched to WebSocket, or says why it did not."""

    def __init__(self, node: str, request: bytes, ears: Ears) -> None:
        self.node = node
        self.opened: asyncio.Future[float] = asyncio.get_running_loop().create_future()  # when, on the monotonic clock
        self.opened.add_done_callback(looked_at)
        self.full = False
        self._ears = ears
        self._request = request
        self._transport: asyncio.Transport
        self._rest = b""
        self._upgraded = False
        self._end = end_of(None)

    # --- what a peer does --------------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """Send a control message."""
        self._write(messages.encode(message), wire.TEXT)

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._write(frame, wire.BINARY)

    def ping(self, payload: bytes) -> None:
        """Send a WebSocket ping, which a node answers from its event loop."""
        self._write(payload, wire.PING)

    def leave(self, reason: str = "") -> None:
        """Close as one who goes; the node hangs up."""
        if not self._transport.is_closing():
            self._write(Close.NORMAL.to_bytes(2, "big") + reason.encode(), wire.CLOSE)
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Drop the connection as a lost network would."""
        self._transport.abort()

    def stop_reading(self) -> None:
        """Take nothing more, as a peer does that is too slow."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Take what has come meanwhile."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _write(self, payload: bytes, opcode: int) -> None:
        if not self._transport.is_closing():
            self._transport.write(wire.from_client(payload, opcode))

    # --- what the event loop calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        self._transport.set_write_buffer_limits(PRESSED_BYTES, EASED_BYTES)
        self._transport.write(self._request)

    def pause_writing(self) -> None:
        """The node takes less than we say."""
        self.full = True
        self._ears.crowded(self)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        self.full = False
        self._ears.crowded(self)

    def data_received(self, data: bytes) -> None:
        """Cut what came into messages and pass them on."""
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            rest = self._answered(data)
            if rest is None:
                return
            data = rest
        at, size = 0, len(data)
        while size - at >= 2:
            first, length, start = data[at], data[at + 1], at + 2
            if length >= 126:
                start = at + (4 if length == 126 else 10)
                if size < start:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            end = start + length
            if size < end:
                break
            if first == WHOLE_BINARY:
                self._ears.given(self, data[start:end])
            else:
                self._heard(first, data[start:end])
            at = end
        self._rest = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, whoever wanted it so."""
        if not self.opened.done():
            self.opened.set_exception(Unreachable("hung up during the handshake"))
        elif self._upgraded:
            self._ears.ended(self, self._end)

    def _answered(self, data: bytes) -> bytes | None:
        """What came behind the answer to our request, if that is here and is yes."""
        head, end, rest = data.partition(HEAD_END)
        if not end:
            self._rest = data
            return None
        if self.opened.done():
            return None
        if SWITCHING not in head[:16]:
            self._refused(head, rest)
            return None
        self._upgraded, self._rest = True, b""
        self.opened.set_result(time.monotonic())
        return rest

    def _refused(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = Headers([(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])
        answer = Response(int(first.split(" ", 2)[1]), "", headers, body)
        turn = turn_seconds(answer)
        error: RelayError = Unreachable(f"answered {answer.status_code}")
        self.opened.set_exception(final_word(answer) or (Busy(turn) if turn is not None else error))
        self._transport.abort()

    def _heard(self, first: int, payload: bytes) -> None:
        if first == WHOLE_TEXT:
            self._ears.said(self, payload)
            return
        match first & 0x0F:
            case wire.PING:
                self._write(payload, wire.PONG)
            case wire.PONG:
                self._ears.ponged(self, payload)
            case wire.CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else None
                self._end = end_of(code, payload[2:].decode("utf-8", "replace"))
                self._write(payload[:2], wire.CLOSE)
                if not self._transport.is_closing():
                    asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)
            case _:
                self._end = end_of(None, "not whole messages")
                self._transport.abort()
