"""Shows which nodes count as a better place to be."""

from __future__ import annotations

import asyncio

import pytest

from relay.node import scout


async def serving(answer: bytes) -> asyncio.Server:
    """A node that answers so, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:")
        writer.write(answer)
        if answer:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def url(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_only_a_node_that_says_it_is_ready_is_a_better_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scout, "ANSWER_SECONDS", 0.3)
    ready = await serving(b"HTTP/1.1 200 OK\r\n\r\n")
    answers = (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"nonsense\r\n", b"")
    others = [await serving(answer) for answer in answers]
    gone = await serving(b"")
    nobody = url(gone)
    gone.close()
    try:
        assert await scout.ready([*map(url, others), url(ready), nobody]) == [url(ready)]
        assert await scout.ready([]) == []
    finally:
        for server in (ready, *others):
            server.close()
