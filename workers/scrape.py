"""Serves a sweeper's metrics: `GET /metrics` and `GET /livez`, and nothing else of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from relay.errors import Misconfigured
from relay.settings import Settings

HEAD_BYTES = 8 * 1024  # Prometheus sends a few hundred
PATIENCE_SECONDS = 5.0  # for a whole question; a sweeper has better things to keep than open connections
QUESTIONS = 16  # at a time: more scrapers than anybody has

# A sweeper speaks no HTTP otherwise, so it has none of a node's web server. These few lines listen where only
# Prometheus and probes are let to, in the loop of the sweeps: a probe that is answered means that it turns.


class Scrapes:
    """Answers one question a connection."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, and hang up; whoever asks wrongly, slowly or beside too many others is hung up on at once."""
        self._open += 1
        try:
            if self._open <= QUESTIONS:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    writer.write(self.answer(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it has left, or is not worth waiting for
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def answer(self, head: str) -> bytes:
        """The answer to the head of a request."""
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _answer("405 Method Not Allowed", "text/plain", b"", "allow: GET, HEAD\r\n")
        if path == "/livez":
            status, kind, body = "200 OK", "text/plain; charset=utf-8", b"ok\n"
        elif path == "/metrics":
            headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            encode, kind = choose_encoder(headers.get("accept", ""))
            status, body = "200 OK", encode(self._registry)
        else:
            status, kind, body = "404 Not Found", "text/plain", b""
        return _answer(status, kind, body) if method == "GET" else _answer(status, kind, b"")


def _answer(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}connection: close\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def scraped(registry: CollectorRegistry, settings: Settings) -> AsyncIterator[None]:
    """Serves the metrics while it is open, if they have a port; raises `Misconfigured` for one that is taken."""
    if not settings.metrics_port:
        yield
        return
    host, port = settings.host, settings.metrics_port
    try:
        server = await asyncio.start_server(Scrapes(registry).serve, host, port, limit=HEAD_BYTES)
    except OSError:
        raise Misconfigured(f"cannot listen on {host}:{port}: is the port taken?") from None
    try:
        yield
    finally:
        server.close()
