"""Serves one WebSocket in this process, taken over from uvicorn or not, and lends a client that speaks raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from relay.node.direct import Carriage, DirectSocket
from relay.node.errands import Errands
from relay.node.keepalive import Keepalive
from relay.rules.websocket import CLOSE, CODE_BYTES
from relay.web.asgi_socket import AsgiSocket
from relay.web.server import configure
from relay.web.upgrade import TAKE_OVER

WAIT_SECONDS = 10.0  # a test that waits longer has found something
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # what answers it there

Socket = DirectSocket | AsgiSocket
App = Callable[[WebSocket], Awaitable[None]]


def on_both_loops(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in asyncio's own loop and in uvloop, for transports differ at their ends."""

    def run(loop: Callable[[], asyncio.AbstractEventLoop], **given: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(story(**given))

    run.__name__, run.__doc__, run.__module__ = story.__name__, story.__doc__, story.__module__
    run.__dict__.update(story.__dict__)  # its marks
    added = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    own = [*inspect.signature(story).parameters.values(), added]
    run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    marked: Callable[..., None] = pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)
    return marked


class Heard:
    """A listener that remembers, and may be told to do something with each message."""

    def __init__(self, act: Callable[[str | bytes], None] = lambda said: None) -> None:
        self.said: list[str | bytes] = []
        self.flushes = 0
        self.ends: list[tuple[int, str]] = []
        self._act = act
        self._changed = asyncio.Event()

    def text(self, text: str) -> None:
        """Note it."""
        self._note(text)

    def binary(self, frame: bytes) -> None:
        """Note it."""
        self._note(frame)

    def _note(self, said: str | bytes) -> None:
        assert not self.ends, "nothing comes after the end"
        self.said.append(said)
        self._changed.set()
        self._act(said)

    def flush(self) -> None:
        """Count it."""
        assert not self.ends, "nothing comes after the end"
        self.flushes += 1

    def closed(self, code: int, reason: str) -> None:
        """Note it."""
        self.ends.append((code, reason))
        self._changed.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds of what was heard."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; how it ended."""
        await self.until(lambda: self.ends)
        return self.ends[0]


class Server(uvicorn.Server):
    """A server that leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.servers[0].sockets[0].getsockname()[1])


class Answer(NamedTuple):
    """The head of what a server answers to a handshake, and its body as far as it tells its length."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A client's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes, in one write."""
        self.writer.write(data)

    async def answer(self) -> Answer:
        """The next answer in HTTP."""
        async with asyncio.timeout(WAIT_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return Answer(
                int(first.split()[1]), headers, await self._reader.readexactly(int(headers.get("content-length", 0)))
            )

    async def frame(self) -> tuple[int, bytes]:
        """The next frame, by its opcode."""
        async with asyncio.timeout(WAIT_SECONDS):
            first, size = await self._reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0x0F, await self._reader.readexactly(size)

    async def close_code(self) -> int:
        """The code of the close that comes, other frames passed over."""
        while True:
            opcode, body = await self.frame()
            if opcode == CLOSE:
                return int.from_bytes(body[:CODE_BYTES], "big")

    async def ends(self) -> bytes:
        """Wait until the server has closed the connection; what came before that."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read()

    async def is_cut(self) -> None:
        """Wait until the connection is over in whatever way."""
        with contextlib.suppress(ConnectionError):
            await self.ends()

    def reset(self) -> None:
        """Leave as a process that is killed with unread bytes does."""
        linger = (1).to_bytes(4, "little") + bytes(4)  # on, zero seconds
        plain: socket.socket = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Place:
    """A running server, and what its sockets were."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.keepalive = Keepalive()
        self.errands = Errands()
        self.carriage = Carriage(self.errands, self.keepalive)
        self.limits: list[str] = []  # that were met
        self._wires: list[Wire] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def connections(self) -> int:
        """How many the server knows that nobody has taken over."""
        return len(self._server.server_state.connections)

    async def end(self) -> None:
        """The server ends, as at the end of its process."""
        self._server.should_exit = True
        await self._server.shutdown()

    async def dial(self, receive_bytes: int | None = None) -> Wire:
        """A connection on which nothing has been said; `receive_bytes` bounds what the system takes for it."""
        plain = socket.socket()
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        limit = receive_bytes or 2**20
        wire = Wire(*await asyncio.open_connection(sock=plain, limit=limit))
        self._wires.append(wire)
        return wire

    async def open(self, behind: bytes = b"", receive_bytes: int | None = None) -> Wire:
        """A connection whose handshake was answered by 101; `behind` is sent with the request."""
        wire = await self.dial(receive_bytes)
        wire.send(request() + behind)
        answer = await wire.answer()
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPTED
        return wire

    def carry(self, websocket: WebSocket) -> DirectSocket:
        """Take an accepted connection over."""
        carried = DirectSocket(self.carriage)
        websocket.scope["extensions"][TAKE_OVER](carried)
        return carried

    def leave(self) -> None:
        """Let go of every client."""
        for wire in self._wires:
            wire.writer.transport.abort()


def request(*lines: str, target: str = "/x", method: str = "GET", version: str = "1.1", **headers: str | None) -> bytes:
    """A handshake; `headers` change or, as None, leave out those that every handshake has; `lines` come on top."""
    usual: dict[str, str | None] = {
        "host": "relay.test",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": KEY,
    }
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    named = [f"{name}: {value}" for name, value in usual.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/{version}", *named, *lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def listening(config: uvicorn.Config, port: int = 0) -> AsyncIterator[Server]:
    """A server that has started, on any free port unless one is named; it ends with the block."""
    server = Server(config)
    plain = socket.create_server(("127.0.0.1", port), backlog=config.backlog)
    serving = asyncio.create_task(server.serve(sockets=[plain]))
    try:
        while not server.started:
            assert not serving.done(), serving
            await asyncio.sleep(0)
        yield server
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving


@asynccontextmanager
async def place(app: App | None = None, *, http: list[BaseRoute] | None = None) -> AsyncIterator[Place]:
    """Our server with one WebSocket endpoint at /x; without one, it is not to be dialled."""
    found: list[Place] = []

    async def endpoint(websocket: WebSocket) -> None:
        assert app is not None
        await app(websocket)

    site = Starlette(routes=[WebSocketRoute("/x", endpoint), *(http or [])])
    config = configure(site, "127.0.0.1", 0, lambda limit: found[0].limits.append(limit))
    async with listening(config) as server:
        here = Place(server)
        found.append(here)
        errands = asyncio.create_task(here.errands.run())
        try:
            yield here
        finally:
            here.leave()
            async with asyncio.timeout(WAIT_SECONDS):
                await here.keepalive.empty()
            errands.cancel()
            await asyncio.wait([errands])


def stock(app: ASGIApp) -> uvicorn.Config:
    """An application as plain uvicorn serves it, with nothing of ours."""
    return uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False)
