"""Asks a sweeper for its metrics as Prometheus would, and as nobody should."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from relay.errors import Misconfigured
from relay.registry import Registry
from relay.rules.metrics import exported_by
from relay.settings import Settings
from relay.vitals import watch_process
from tests.support.ports import free_ports
from workers.meters import SweepMeters
from workers.scrape import HEAD_BYTES, QUESTIONS, Scrapes, scraped

WAIT_SECONDS = 15.0


def counted() -> CollectorRegistry:
    """What a sweeper that has just begun exports."""
    registry = CollectorRegistry()
    watch_process(SweepMeters(registry, lambda: 0.0).instruments, 0.0)
    return registry


def settings(port: int) -> Settings:
    return Settings(redis_url="redis://127.0.0.1", database_url="sqlite+aiosqlite:////tmp/none.db", metrics_port=port)


async def ask(port: int, question: bytes) -> bytes:
    """Everything that is answered until the connection ends."""
    async with asyncio.timeout(WAIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(question)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


async def test_prometheus_gets_what_is_listed_and_nothing_else(database_url: str) -> None:
    (port,) = free_ports(1)
    registry = CollectorRegistry()
    meters = SweepMeters(registry, lambda: 0.0)
    watch_process(meters.instruments, 0.0)
    kept = await Registry.open(database_url)
    meters.shows(kept.seconds)
    await kept.close()
    async with scraped(registry, settings(port)):
        answer = (await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "content-type: text/plain" in head
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert set(families) == {metric.name for metric in exported_by("sweeper")}
    assert all(
        sample.labels.keys() - {"le"} == set(metric.label_names)
        for metric in exported_by("sweeper")
        for sample in families[metric.name].samples
    )


async def test_a_probe_is_answered_for_as_long_as_the_loop_turns() -> None:
    (port,) = free_ports(1)
    async with scraped(counted(), settings(port)):
        assert (await ask(port, b"GET /livez HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\nok\n")
        assert (await ask(port, b"HEAD /livez HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /metrics/../x HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
        (b"\r\n\r\n", b"HTTP/1.1 405"),
        (b"GET /metrics HTTP/1.1\r\nx: " + b"x" * (2 * HEAD_BYTES), b""),
    ],
)
async def test_whoever_asks_for_something_else_gets_nothing(question: bytes, answer: bytes) -> None:
    (port,) = free_ports(1)
    async with scraped(counted(), settings(port)):
        got = await ask(port, question)
    assert got.startswith(answer)
    assert b"relay_" not in got


async def test_whoever_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.scrape.PATIENCE_SECONDS", 0.05)
    (port,) = free_ports(1)
    async with scraped(counted(), settings(port)):
        assert await ask(port, b"GET /metrics") == b""


async def test_many_who_hold_connections_do_not_hold_more() -> None:
    scrapes = Scrapes(counted())
    server = await asyncio.start_server(scrapes.serve, "127.0.0.1", 0, limit=HEAD_BYTES)
    port = server.sockets[0].getsockname()[1]
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(QUESTIONS)]
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            answer = b"one"
            while answer:  # until all of them are known to be open
                answer = await ask(port, b"GET /livez HTTP/1.1\r\n\r\n")
    finally:
        for _, writer in held:
            writer.transport.abort()
        server.close()


async def test_a_port_that_is_taken_is_one_clear_sentence() -> None:
    (port,) = free_ports(1)
    async with scraped(counted(), settings(port)):
        with pytest.raises(Misconfigured, match="is the port taken"):
            async with scraped(counted(), settings(port)):
                pass


async def test_without_a_port_nothing_listens() -> None:
    async with scraped(counted(), settings(0)):
        pass
