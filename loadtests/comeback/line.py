"""Speaks the agent's side of one WebSocket over a bare transport, for whoever plays ten thousand of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Response

from loadtests.bench import wire
from relay.client.dial import CLOSE_SECONDS, OPEN_SECONDS, PROTOCOL, Closed, Unreachable, closed
from relay.client.refusal import final_word, turn_seconds
from relay.errors import Close, RelayError
from relay.rules import messages as m
from relay.rules import timing

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no ports in TIME_WAIT: whoever runs next needs them
BEAT = wire.from_client(m.encode(m.Beat()), wire.TEXT)
HEAD_END = b"\r\n\r\n"


class Busy(Unreachable):
    """The node answered 503 and said in how many seconds it takes us."""

    def __init__(self, seconds: float) -> None:
        super().__init__("503 with Retry-After")
        self.seconds = seconds


class Line(asyncio.Protocol):
    """One connection. `welcomed` is the node's answer to our hello, `ended` how it ended after that."""

    def __init__(self, node: str, request: bytes, hello: bytes, moves: Callable[[Line, m.Move], None]) -> None:
        loop = asyncio.get_running_loop()
        self.node = node
        self.welcomed: asyncio.Future[m.AgentWelcome] = loop.create_future()
        self.ended: asyncio.Future[Closed] = loop.create_future()
        self.welcomed.add_done_callback(asyncio.Future.exception)  # whoever waited may have given up
        self._request = request
        self._hello = hello
        self._moves = moves
        self._transport: asyncio.Transport
        self._read = b""
        self._upgraded = False
        self._end = closed(None)
        self._beating: asyncio.TimerHandle | None = None

    # --- what an agent does ------------------------------------------------------------------------------------

    def beat_every(self, seconds: Callable[[], float]) -> None:
        """Beat until the connection ends, each time after so many seconds."""

        def beat() -> None:
            self._transport.write(BEAT)
            self._beating = loop.call_later(seconds(), beat)

        loop = asyncio.get_running_loop()
        self._beating = loop.call_later(seconds(), beat)

    def leave(self, reason: str) -> None:
        """Close as one who has gone elsewhere; the node hangs up."""
        if not self._transport.is_closing():
            payload = Close.NORMAL.to_bytes(2, "big") + reason.encode()
            self._transport.write(wire.from_client(payload, wire.CLOSE))
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    # --- what the event loop calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take in what the node said."""
        self._read += data
        if not self._upgraded and not self._answered():
            return
        while (frame := wire.cut(self._read)) is not None:
            opcode, payload, size = frame
            self._read = self._read[size:]
            self._heard(opcode, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, whoever wanted it so."""
        if self._beating is not None:
            self._beating.cancel()
        if not self.welcomed.done():
            self.welcomed.set_exception(self._end if self._upgraded else Unreachable("hung up during the handshake"))
        self.ended.set_result(self._end)

    def _answered(self) -> bool:
        """Whether the answer to our request is here and is yes."""
        head, end, rest = self._read.partition(HEAD_END)
        if not end or self.welcomed.done():
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            headers = Headers([(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])
            self._refuse(Response(status, "", headers, rest))
            return False
        self._upgraded, self._read = True, rest
        self._transport.write(self._hello)
        return True

    def _refuse(self, answer: Response) -> None:
        seconds = turn_seconds(answer)
        busy = None if seconds is None else Busy(seconds)
        self._fail(final_word(answer) or busy or Unreachable(f"answered {answer.status_code}"))

    def _fail(self, error: RelayError) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(error)
        self._transport.abort()

    def _heard(self, opcode: int, payload: bytes) -> None:
        if opcode == wire.PING:
            self._transport.write(wire.from_client(payload, wire.PONG))
        elif opcode == wire.CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else None
            self._end = closed(code, payload[2:].decode("utf-8", "replace"))
            if not self._transport.is_closing():
                self._transport.write(wire.from_client(payload[:2], wire.CLOSE))
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)
        elif opcode == wire.TEXT:
            message = m.to_agent(payload)
            if isinstance(message, m.AgentWelcome):
                if not self.welcomed.done():
                    self.welcomed.set_result(message)
            elif isinstance(message, m.Move):
                self._moves(self, message)


async def open_line(
    node: str, path: str, token: str, hello: m.AgentHello, moves: Callable[[Line, m.Move], None]
) -> tuple[Line, m.AgentWelcome]:
    """A line that was welcomed at this node. Raises `OSError`, `Busy`, a `Closed`, or another `RelayError`."""
    where = urlsplit(node)
    assert where.hostname is not None
    request = wire.upgrade(where.netloc, path, {"Authorization": f"Bearer {token}"}, [PROTOCOL])
    said = wire.from_client(m.encode(hello), wire.TEXT)
    loop = asyncio.get_running_loop()
    plain = socket.socket()
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        async with asyncio.timeout(OPEN_SECONDS):
            await loop.sock_connect(plain, (where.hostname, where.port))
        _, line = await loop.create_connection(lambda: Line(node, request, said, moves), sock=plain)
    except BaseException:
        plain.close()
        raise
    try:
        async with asyncio.timeout(OPEN_SECONDS + timing.HELLO_SECONDS):
            return line, await asyncio.shield(line.welcomed)
    except TimeoutError:
        line.abort()
        raise Unreachable("no welcome in time") from None
    except BaseException:
        line.abort()
        raise
