"""Checks the sweeper as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from relay.errors import Exit, Unavailable
from relay.registry import Registry
from relay.registry.charter import Charter
from relay.settings import Settings
from relay.store import Keys
from tests.support.valkey import Valkey
from tests.workers.fleet import Fleet
from workers import process as sweeping_process

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30.0  # a process starts in about a second, a sweep comes every two


@asynccontextmanager
async def sweeping(redis_url: str, database_url: str, prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m workers sweeper`, ended at the latest here."""
    process = await _start(
        {"RELAY_REDIS_URL": redis_url, "RELAY_DATABASE_URL": database_url, "RELAY_REDIS_PREFIX": prefix}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _start(variables: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers", *(arguments or ("sweeper",)),
        cwd=ROOT, env={**environment, **variables}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _line_with(process: asyncio.subprocess.Process, words: str) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(WAIT_SECONDS):
        while line := (await process.stderr.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"the sweeper ended without saying {words!r}")


async def test_a_sweeper_process_tells_the_registry_and_ends_cleanly(
    fleet: Fleet, standing_valkey: Valkey, database_url: str
) -> None:
    machine, fence = await fleet.join("prod")
    await fleet.presence.goodbye(fleet.workspace, machine, fence)
    async with sweeping(standing_valkey.url, database_url, fleet.keys.prefix) as process:
        await _line_with(process, "a sweep told the registry")
        assert (await fleet.row(machine)).offline_reason == "closed"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await process.wait() == 0


async def test_a_sweeper_waits_for_a_redis_that_is_not_there_yet(
    standing_valkey: Valkey, database_url: str, fleet: Fleet
) -> None:
    standing_valkey.stop()
    try:
        async with sweeping(standing_valkey.url, database_url, fleet.keys.prefix) as process:
            await _line_with(process, "the sweeper waits")
            standing_valkey.start()
            await _line_with(process, "the sweeper sweeps")
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(WAIT_SECONDS):
                assert await process.wait() == 0
    finally:
        if not standing_valkey.socket.exists():
            standing_valkey.start()


async def test_a_sweeper_that_waits_keeps_no_registry_open_meanwhile(
    monkeypatch: pytest.MonkeyPatch, standing_valkey: Valkey, database_url: str, keys: Keys
) -> None:
    """As while Redis comes and goes: it may be away between one question and the next."""
    stop = asyncio.Event()
    opened: list[Opened] = []
    open_registry = Registry.open

    async def open_one(url: str) -> Registry:
        assert not any(registry.opened for registry in opened)
        opened.append(Opened(await open_registry(url)))
        return cast(Registry, opened[-1])

    async def away(*_: object) -> None:
        if len(opened) == 3:
            stop.set()
        raise Unavailable("Redis is away")

    monkeypatch.setattr(Registry, "open", open_one)
    monkeypatch.setattr(sweeping_process, "belong", away)
    monkeypatch.setattr(sweeping_process, "RETRY_SECONDS", 0.01)
    settings = Settings(redis_url=standing_valkey.url, database_url=database_url, redis_prefix=keys.prefix)
    async with asyncio.timeout(WAIT_SECONDS):
        await sweeping_process.sweep(settings, stop)
    assert len(opened) >= 3
    assert not any(registry.opened for registry in opened)


class Opened:
    """A registry, and whether it is still open."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.opened = True

    async def charter(self, now_ms: int) -> Charter:
        """Its own."""
        return await self._registry.charter(now_ms)

    async def close(self) -> None:
        """It is closed."""
        self.opened = False
        await self._registry.close()


async def test_a_sweeper_that_is_configured_wrongly_says_so_in_one_line() -> None:
    process = await _start(
        {"RELAY_REDIS_URL": "http://nonsense", "RELAY_DATABASE_URL": "sqlite+aiosqlite:////tmp/x.db"}
    )
    _, said = await process.communicate()
    assert process.returncode == Exit.CONFIGURATION
    assert said.decode().startswith("relay: ")
    assert said.count(b"\n") == 1


async def test_other_workers_do_not_exist() -> None:
    process = await _start({}, "mop")
    _, said = await process.communicate()
    assert (process.returncode, said) == (Exit.USAGE, b"relay: usage: python -m workers sweeper\n")
