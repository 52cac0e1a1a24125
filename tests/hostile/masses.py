"""Comes to a node in masses: thousands of connections of every kind, of which none means well."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from relay.rules.websocket import BINARY, CLOSE, TEXT
from tests.support.client_stream import FINAL, client_frame

AT_ONCE = 50  # far below what a node keeps of connections that are not whole yet
WAIT_SECONDS = 30.0

HELLO = b'{"type":"hello","client":"a-client-id"}'


class Mass:
    """Strangers, members and liars, all from one seed."""

    def __init__(self, url: str, agent_token: str, person_token: str, seed: int = 1) -> None:
        parts = urlsplit(url)
        self._where = (str(parts.hostname), int(parts.port or 80))
        self._host = parts.netloc
        self._random = random.Random(seed)
        self._agent, self._person = agent_token, person_token
        self.ends: Counter[str] = Counter()  # how connections ended, by HTTP status, close code, or otherwise

    def _upgrade(self, path: str, token: str, *words: str) -> bytes:
        lines = [
            f"GET {path} HTTP/1.1",
            f"host: {self._host}",
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            f"sec-websocket-protocol: {', '.join(words or ('relay.v1',))}",
            f"authorization: Bearer {token}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def _kinds(self) -> list[Callable[[], bytes]]:
        noise = self._random.randbytes
        return [
            lambda: self._upgrade("/ws/agent", "rly_mach_nonsense"),
            lambda: self._upgrade("/ws/browser", "rly_pat_nonsense"),
            lambda: self._upgrade("/ws/browser", self._person, "relay.v9"),
            lambda: self._upgrade("/ws/browser", self._person) + client_frame(FINAL | TEXT, noise(40)),
            lambda: self._upgrade("/ws/agent", self._agent) + client_frame(FINAL | BINARY, noise(64)),
            lambda: (
                self._upgrade("/ws/browser", self._person)
                + client_frame(FINAL | TEXT, HELLO)
                + client_frame(FINAL | BINARY, noise(64))
            ),
            lambda: self._upgrade("/ws/browser", self._person) + client_frame(FINAL | CLOSE, b"\x03\xe8"),
            lambda: self._upgrade("/ws/browser", self._person)[:-10],
            lambda: noise(80) + b"\r\n\r\n",
            lambda: f"GET /api/me HTTP/1.1\r\nhost: {self._host}\r\nconnection: close\r\n\r\n".encode(),
        ]

    async def comes(self, count: int) -> None:
        """So many connections, one kind after the other, a few at a time; returns when all have ended."""
        kinds, left = self._kinds(), iter(range(count))

        async def some() -> None:
            for number in left:
                await self._connect(kinds[number % len(kinds)]())

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())

    async def floods(self, sockets: int, frames: int) -> None:
        """So many sockets one after the other, each with so many frames of noise behind its hello."""
        for _ in range(sockets):
            noise = [client_frame(FINAL | BINARY, self._random.randbytes(40)) for _ in range(frames)]
            opening = self._upgrade("/ws/browser", self._person) + client_frame(FINAL | TEXT, HELLO)
            await self._connect(opening + b"".join(noise))

    async def _connect(self, sent: bytes) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            reader, writer = await asyncio.open_connection(*self._where)
            answer = b""
            with contextlib.suppress(ConnectionError):
                writer.write(sent)
                if sent.startswith(b"GET ") and not sent.endswith(b"\r\n\r\n") and b"\r\n\r\n" not in sent:
                    await writer.drain()  # half a request: whoever waits for an answer waits long
                else:
                    answer = await self._read_to_the_end(reader, writer)
            self.ends[_ended(answer)] += 1
            writer.transport.abort()

    async def _read_to_the_end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        answer = b""
        while piece := await reader.read(65_536):
            answer += piece
            if _closing(answer) is not None:
                break  # a polite peer would answer the close; this one hangs up
        return answer


def _closing(answer: bytes) -> int | None:
    """The code of the close frame that ends an answer."""
    at = answer.rfind(b"\x88")
    if at < 0 or len(answer) < at + 4 or len(answer) != at + 2 + answer[at + 1]:
        return None
    return int.from_bytes(answer[at + 2 : at + 4], "big")


def _ended(answer: bytes) -> str:
    if not answer.startswith(b"HTTP/1.1 101"):
        return answer[9:12].decode() or "nothing"
    code = _closing(answer)
    return f"close {code}" if code is not None else "cut"
