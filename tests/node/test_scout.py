"""Shows which nodes count as a better place to be."""

from __future__ import annotations

import asyncio

import pytest

from relay.node import scout
from tests.node.two_nodes import WAIT_SECONDS


async def serving(answer: bytes, left: asyncio.Event | None = None) -> asyncio.Server:
    """A node that answers so, whatever it is asked; with nothing to answer it waits until who asked has left."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:")
        writer.write(answer)
        if left is not None:
            await reader.read()
            left.set()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def url(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_only_a_node_that_says_it_is_ready_is_a_better_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scout, "ANSWER_SECONDS", WAIT_SECONDS)
    ready = await serving(b"HTTP/1.1 200 OK\r\n\r\n")
    others = [await serving(answer) for answer in (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"nonsense\r\n")]
    gone = await serving(b"")
    nobody = url(gone)
    gone.close()
    odd = ["", "unix:///run/relay", "wss://127.0.0.1", "http://[::1", "http://127.0.0.1:port"]
    try:
        assert await scout.ready([*map(url, others), url(ready), nobody, *odd]) == [url(ready)]
        assert await scout.ready([]) == []
    finally:
        for server in (ready, *others):
            server.close()


async def test_a_node_that_does_not_answer_in_time_is_no_better_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scout, "ANSWER_SECONDS", 0.01)
    left = asyncio.Event()
    silent = await serving(b"", left)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            assert await scout.ready([url(silent)]) == []
            await left.wait()
    finally:
        silent.close()
