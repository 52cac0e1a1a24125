"""Fills a Redis with machines straight away, as a fleet would have after its hellos, for what needs no socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple
from uuid import UUID

from redis.asyncio import Redis

from relay.rules.presence import OFFLINE_MS, Fence, Info
from relay.store import Keys
from relay.store.keys import SHARDS
from relay.store.records import encode_info

ROWS_AT_ONCE = 1_000  # per command: far from what a client or Redis would choke on
NODE = "load-test"
INFO = encode_info(Info(pid=1, version="1.0.0", hostname="build-00001.example.internal"))


class Member(NamedTuple):
    """One machine with a connection."""

    workspace: str
    machine: str
    fence: Fence


def workspaces(keys: Keys, random: Random) -> list[str]:
    """One workspace id for each shard, in the order of shards."""
    found: dict[int, str] = {}
    while len(found) < SHARDS:
        id = str(UUID(bytes=random.randbytes(16), version=4))
        found.setdefault(keys.shard(id), id)
    return [found[shard] for shard in range(SHARDS)]


def invent(keys: Keys, count: int, random: Random) -> list[list[Member]]:
    """So many machines, spread evenly over all shards."""
    generation = time.time_ns() // 1_000_000
    each = -(-count // SHARDS)
    return [
        [
            Member(workspace, str(UUID(bytes=random.randbytes(16), version=4)), Fence(1, generation, f"c{number}"))
            for number in range(each)
        ]
        for workspace in workspaces(keys, random)
    ]


async def write(redis: Redis, keys: Keys, shards: list[list[Member]], due_in_ms: list[int]) -> None:
    """Store them as connected to one node; their deadlines are taken from `due_in_ms` in turn, by Redis's clock."""
    seconds, microseconds = await redis.time()
    now = seconds * 1_000 + microseconds // 1_000
    for shard, members in enumerate(shards):
        of = [keys.of(shard, name) for name in ("fences", "places", "infos", "deadlines")]
        pipeline = redis.pipeline(transaction=False)
        pipeline.set(keys.of(shard, "upto"), 0)
        for start, part in _parts(members):
            pipeline.hset(of[0], mapping={m.machine: m.fence.text for m in part})
            pipeline.hset(of[1], mapping={m.machine: f"{m.workspace} {NODE}" for m in part})
            pipeline.hset(of[2], mapping={m.machine: INFO for m in part})
            dues = {m.machine: now + due_in_ms[at % len(due_in_ms)] for at, m in enumerate(part, start)}
            pipeline.zadd(of[3], dues)
        await pipeline.execute()


async def trust(redis: Redis, keys: Keys) -> None:
    """Mark every shard as flushed just now and for long enough, so that silence in it proves something."""
    seconds, microseconds = await redis.time()
    now = seconds * 1_000 + microseconds // 1_000
    pipeline = redis.pipeline(transaction=False)
    for shard in keys.shards:
        pipeline.hset(keys.of(shard, "marker"), mapping={"flushed": now, "settled": now - OFFLINE_MS, "by": NODE})
    await pipeline.execute()


def _parts(members: list[Member]) -> Iterator[tuple[int, list[Member]]]:
    for start in range(0, len(members), ROWS_AT_ONCE):
        yield start, members[start : start + ROWS_AT_ONCE]
