"""Runs the sweeper as a process: logs, connections, signals, exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from relay.errors import Exit, Misconfigured, Unavailable
from relay.logs import configure_logs
from relay.registry import Registry, migrate
from relay.rules import timing
from relay.rules.rhythm import Chosen
from relay.settings import Settings
from relay.store import Claims, Keys, Leases, Memory, Presence, agree, belong, open_memory
from relay.store.reports import Reports
from relay.store.rhythm import Follower
from relay.vitals import watch_process
from workers.cleaner import Cleaner
from workers.meters import SweepMeters
from workers.reporting import Reporting
from workers.scrape import scraped
from workers.sweeper import Sweeper

RETRY_SECONDS = 1.0  # while Redis or the registry is not there yet: parts of a cluster start in any order
STOPS = (signal.SIGTERM, signal.SIGINT)


def run_sweeper(settings: Settings) -> int:
    """Sweep until SIGTERM or SIGINT; returns the exit code. `relay sweeper` and `python -m workers sweeper` call it."""
    configure_logs(settings)
    try:
        asyncio.run(_until_signalled(settings))
    except Misconfigured as error:
        print(f"relay: {error.message}", file=sys.stderr)  # noqa: T201 - a person reads this, not a log
        return Exit.CONFIGURATION
    return Exit.OK


async def sweep(settings: Settings, stop: asyncio.Event) -> None:
    """Sweep until `stop` is set; waits out an unreachable Redis or registry instead of ending. Raises `Misconfigured`
    for settings that no waiting mends."""
    async with AsyncExitStack() as stack:
        work = asyncio.create_task(_work(settings, stack))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            stopped.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
        if not work.cancelled():
            work.result()


async def _until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    await sweep(settings, stop)


async def _work(settings: Settings, stack: AsyncExitStack) -> None:
    counted = CollectorRegistry()
    meters = SweepMeters(counted, time.monotonic)
    watch_process(meters.instruments, time.time())
    await stack.enter_async_context(scraped(counted, settings))
    redis = open_memory(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    keys = Keys(settings.redis_prefix)
    while True:
        try:
            await migrate(settings.database_url)
            registry, chosen = await stack.enter_async_context(_registry_of(redis, keys, settings))
            break
        except Unavailable as error:
            structlog.get_logger().warning("the sweeper waits", why=error.message)
            await asyncio.sleep(RETRY_SECONDS)
    meters.shows(registry.seconds)
    claims = Claims(redis, keys)
    sweeper = Sweeper(registry, Presence(redis, keys), claims, Leases(redis, keys), _unix_ms, meters)
    cleaner = Cleaner(registry, claims, _unix_ms, meters.cleaned)
    reporting = Reporting(meters, Reports(redis, keys))

    def keep(chosen: Chosen) -> None:
        sweeper.every_seconds, reporting.rhythm = chosen.rhythm.sweep_seconds, chosen.revision

    follower = Follower(redis, keys, registry.rhythms.latest, keep, chosen)
    structlog.contextvars.bind_contextvars(sweeper=reporting.id)  # the tasks below take it over
    structlog.get_logger().info("the sweeper sweeps", shards=len(keys.shards))
    async with asyncio.TaskGroup() as group:
        group.create_task(sweeper.run(keys.shards))
        group.create_task(cleaner.run(keys.shards))
        group.create_task(reporting.run())
        group.create_task(follower.run())


@asynccontextmanager
async def _registry_of(redis: Memory, keys: Keys, settings: Settings) -> AsyncIterator[tuple[Registry, Chosen]]:
    """The registry of the cluster whose Redis this is, and the times that are kept there; raises `Misconfigured` or
    `Unavailable`, and then nothing of it stays open."""
    registry = await Registry.open(settings.database_url)
    try:
        await belong(redis, keys, (await registry.charter(_unix_ms())).id)
        chosen = await registry.rhythms.latest()
        await agree(redis, keys, timing.agreed(), chosen.values)
        yield registry, chosen
    finally:
        await registry.close()


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
