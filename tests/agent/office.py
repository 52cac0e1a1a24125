"""Plays the REST side of a node for registrations: a real HTTP server with one answer at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

MACHINE = {"machine": {"id": "8f23c1d2-0000-4000-8000-000000000000", "name": "mac"}, "machineToken": "rly_mach_x"}


class Office:
    """Answers every request with the next of `answers`, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = [(201, MACHINE)]
        self.paths: list[str] = []
        self.tokens: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.proxied = False
        self.server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def media_type(self, status: int) -> bytes:
        """What an answer is, as the relay says it, unless a proxy answers in its place."""
        return b"application/problem+json" if status >= 400 and not self.proxied else b"application/json"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.paths.append(head[0])
        self.tokens.append(headers.get("authorization", ""))
        self.bodies.append(json.loads(body))
        status, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        payload = json.dumps(content).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
            % (status, self.media_type(status), len(payload), payload)
        )
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    """An office that is open for as long as this lasts."""
    made = Office()
    made.server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with made.server:
        yield made
