"""Measures how long a sweeper's script keeps Redis from everybody else, with very many machines in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from random import Random

from redis.asyncio import Redis

from loadtests.bench import population, usage
from loadtests.bench.engine import running_engine
from loadtests.bench.plan import Plan
from loadtests.bench.rows import Row, Void
from loadtests.numbers import quantile
from loadtests.servers import say
from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import OFFLINE_MS
from relay.store import Claims, Keys, connect

DUE_OF = 5  # one machine of so many has fallen silent: a whole zone is gone
OVERDUE_MS = -1_000
LATER_MS = 10 * OFFLINE_MS  # far enough that nobody else falls due while we measure
SEED_SECONDS = 60.0  # beyond it the numbers are of a machine that swaps or starves
LOG_ENTRIES = 100_000  # of the slow log: every script call of one measurement
MICROSECONDS_PER_MS = 1_000
MS_PER_SECOND = 1_000

BUSY = Row("sweep-due", "one script call that claims machines that fell silent", "ms of Redis's processor", 2.0, "less")
QUIET = Row("sweep-quiet", "one where nothing is due", "ms of Redis's processor", 2.0, "less")
WORST = Row("sweep-p99", "99 of 100 such calls, by Redis's clock", "ms", None, "less")


class Sweep:
    """What Redis needs for a call is judged; what its clock saw meanwhile is shown, and has in it whoever else used the
    processor in the middle of a script."""

    name = "sweep"
    rows = (BUSY, QUIET, WORST)

    def __init__(self) -> None:
        self._pid = 0  # of the engine that runs

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. Raises `Void` unless every machine that was due was claimed exactly once."""
        async with running_engine(plan.cores.servers) as engine:
            self._pid, redis = engine.pid, connect(engine.url)
            try:
                return await self._measure(redis, plan.machines)
            finally:
                await redis.aclose()

    async def _measure(self, redis: Redis, machines: int) -> Mapping[str, float]:
        keys, claims = Keys(), Claims(redis, Keys())
        began = time.perf_counter()
        shards = await asyncio.to_thread(population.invent, keys, machines, Random(5))
        await population.write(redis, keys, shards, [OVERDUE_MS] + [LATER_MS] * (DUE_OF - 1))
        seeded = time.perf_counter() - began
        say("sweep", f"{machines:,} machines written in {seeded:.0f} s")
        if seeded > SEED_SECONDS:
            raise Void(f"it took {seeded:.0f} s to write {machines:,} machines; take fewer with --machines")
        due = {m.machine for members in shards for at, m in enumerate(members) if at % DUE_OF == 0}
        del shards
        await redis.config_set("slowlog-max-len", LOG_ENTRIES)
        await redis.config_set("slowlog-log-slower-than", 0)
        busy, took = await self._claim_all(redis, keys, claims, due)
        quiet = _Meter(self._pid)
        await population.trust(redis, keys)
        with quiet:
            if await claims.claim(keys.shards, SCRIPT_IDS, [population.NODE]):
                raise Void("something was claimed twice")
        return {
            BUSY.name: busy.seconds * MS_PER_SECOND / len(took),
            QUIET.name: quiet.seconds * MS_PER_SECOND / len(keys.shards),
            WORST.name: quantile(took, 0.99),
        }

    async def _claim_all(self, redis: Redis, keys: Keys, claims: Claims, due: set[str]) -> tuple[_Meter, list[float]]:
        """Claim and confirm as a sweeper does until nothing is due: what the claims used, and milliseconds of each
        call, sorted."""
        took: list[float] = []
        meter = _Meter(self._pid)
        while due:
            await population.trust(redis, keys)
            await redis.slowlog_reset()
            with meter:
                claimed = await claims.claim(keys.shards, SCRIPT_IDS, [population.NODE])
            took += await _script_ms(redis)
            before = len(due)
            due -= {each.machine for each in claimed}
            if not claimed or before - len(due) != len(claimed):
                raise Void(f"{len(claimed)} were claimed, {before - len(due)} of them were due")
            await claims.confirm(claimed)
        return meter, sorted(took)


class _Meter:
    """Adds up what Redis used inside of each `with`."""

    def __init__(self, pid: int) -> None:
        self.seconds = 0.0
        self._pid = pid
        self._before = 0.0

    def __enter__(self) -> None:
        self._before = usage.cpu_seconds([self._pid])

    def __exit__(self, *_: object) -> None:
        self.seconds += usage.cpu_seconds([self._pid]) - self._before


async def _script_ms(redis: Redis) -> list[float]:
    """What each script since the last reset took."""
    entries = await redis.slowlog_get(LOG_ENTRIES)
    scripts = [entry for entry in entries if entry["command"][:4].upper() == b"EVAL"]
    return [entry["duration"] / MICROSECONDS_PER_MS for entry in scripts]
