"""Stands between browsers and a node, and loses, repeats, swaps or changes frames: what a load test has to notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

from loadtests.bench.wire import BINARY, MASK
from relay.rules.frames import Kind
from tests.support.ports import free_ports

Trick = Literal["lose", "repeat", "swap", "change"]
READ_BYTES = 65_536
HEAD_END = b"\r\n\r\n"


class Meddler:
    """Does these tricks, each with the frame of this kind that its number says, whichever connection that is on."""

    def __init__(self, tricks: Mapping[int, Trick], kind: Kind) -> None:
        self.left = dict(tricks)
        self._kind = kind
        self._seen = 0
        self._held: dict[int, bytes] = {}  # by connection: a frame that waits for the one behind it

    def through(self, way: int, message: bytes, *, first: int) -> bytes:
        """What is passed on for a message whose payload begins with this byte."""
        if first != self._kind or (message[0] & 0x0F) != BINARY:
            return message
        held = self._held.pop(way, None)
        if held is not None:
            return message + held
        self._seen += 1
        match self.left.pop(self._seen, None):
            case None:
                return message
            case "lose":
                return b""
            case "repeat":
                return message + message
            case "change":
                return message[:-1] + bytes((message[-1] ^ 1,))
            case "swap":
                self._held[way] = message
                return b""


@asynccontextmanager
async def meddling(url: str, meddler: Meddler) -> AsyncIterator[str]:
    """Another address of this node, behind the meddler."""
    where = urlsplit(url)
    port = free_ports(1)[0]
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        there, onwards = await asyncio.open_connection(where.hostname, where.port)
        both = [
            asyncio.create_task(_pass(reader, onwards, meddler, (f"127.0.0.1:{port}".encode(), where.netloc.encode()))),
            asyncio.create_task(_pass(there, writer, meddler, (b"\0", b"\0"))),
        ]
        try:
            with suppress(asyncio.CancelledError):  # the test is over
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, onwards):
                end.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meddler: Meddler, names: tuple[bytes, bytes]
) -> None:
    """One direction. A node answers only to its own name, so ours is replaced by it in what is asked of it."""
    with suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(HEAD_END)).replace(*names)
        writer.write(head)
        if b"websocket" not in head.lower():
            while data := await reader.read(READ_BYTES):
                writer.write(data.replace(*names))
            return
        while True:
            message, first = await _message(reader)
            writer.write(meddler.through(id(writer), message, first=first))


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """One WebSocket frame as it stands on the wire, and the first byte of its payload."""
    head = await reader.readexactly(2)
    size, masked = head[1] & 0x7F, head[1] & 0x80
    if size >= 126:
        more = await reader.readexactly(2 if size == 126 else 8)
        size, head = int.from_bytes(more, "big"), head + more
    if masked:
        head += await reader.readexactly(4)
    payload = await reader.readexactly(size)
    first = payload[0] if payload else 0
    return head + payload, first ^ MASK[0] if masked else first
