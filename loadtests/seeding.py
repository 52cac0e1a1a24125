"""Writes a fleet into the registry and keeps it alive in Redis, for machines that need no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, cycle, islice
from random import Random
from typing import NamedTuple
from uuid import UUID

from relay.node.mirror import Mirror
from relay.registry import Registry
from relay.registry.database import Database
from relay.registry.tables import machines
from relay.rules import timing
from relay.rules.names import fold, name_scope
from relay.rules.presence import Fence, Info
from relay.store import Beat, Keys, Presence, Reannouncement, Revocations, open_memory

ROWS_AT_ONCE = 1_000
PREFIX = "relay"
NODE = "load-test"  # the boot id under which machines without sockets are kept alive
KINDS = ("build", "prod-api", "prod-db", "laptop", "runner", "gpu", "staging", "edge")


class Seeded(NamedTuple):
    """One machine as it stands in the registry."""

    id: str
    instance: str
    name: str
    hostname: str
    token_version: int = 1


def invent(count: int, random: Random) -> list[Seeded]:
    """So many machines with names as teams give them; the same ones for the same seed."""
    made = []
    for index in range(count):
        name = f"{KINDS[index % len(KINDS)]}-{index:05d}"
        ids = [str(UUID(bytes=random.randbytes(16), version=4)) for _ in range(2)]
        made.append(Seeded(ids[0], ids[1], name, f"{name}.example.internal"))
    return made


async def write_rows(database_url: str, workspace: str, fleet: list[Seeded]) -> None:
    """Put machines into the registry as if they had registered with a workspace key and said hello once."""
    now_ms = time.time_ns() // 1_000_000
    fixed = {
        "workspace": workspace, "visibility": "SHARED", "scope": name_scope("SHARED", None), "version": "1.0.0",
        "labels": '{"os": "linux"}', "token_version": 1, "settled_version": 1, "name_held": True, "name_chosen": True,
        "named_ms": now_ms, "ephemeral": False, "created_ms": now_ms,
    }  # fmt: skip
    database = Database(database_url)
    try:
        for start in range(0, len(fleet), ROWS_AT_ONCE):
            rows = [
                fixed
                | {"id": m.id, "instance": m.instance, "name": m.name, "folded": fold(m.name), "hostname": m.hostname}
                for m in fleet[start : start + ROWS_AT_ONCE]
            ]
            async with database.exclusive() as connection:
                await connection.execute(machines.insert(), rows)
    finally:
        await database.close()


@asynccontextmanager
async def kept_alive(
    redis_url: str, database_url: str, workspace: str, fleet: list[Seeded]
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Announce machines and beat for them, as a node that holds their sockets would. Yields what makes so many of them
    say something new of themselves, each time of others."""
    redis, registry = open_memory(redis_url), await Registry.open(database_url)
    keys = Keys(PREFIX)
    presence = Presence(redis, keys)
    generation = time.time_ns() // 1_000_000
    fences = {m.id: Fence(m.token_version, generation, f"load-{index}") for index, m in enumerate(fleet)}

    beats = [Beat(workspace, id, fence, 0) for id, fence in fences.items()]  # once: lists are measured on this loop

    async def beat() -> None:
        while True:
            await asyncio.sleep(timing.FLUSH_SECONDS)
            await presence.beat(NODE, beats)

    order = cycle(fleet)
    pids = count(2)

    async def change(machines: int) -> None:
        for machine in islice(order, machines):
            info = Info(pid=next(pids), version="1.0.0", hostname=machine.hostname)
            assert await presence.describe(workspace, machine.id, fences[machine.id], info)

    try:
        number = await registry.changes.latest()
        await Mirror(registry, Revocations(redis, keys), keys).load(keys.shard(workspace), number)
        infos = {m.id: Info(pid=1, version="1.0.0", hostname=m.hostname) for m in fleet}
        lost = await presence.reannounce(
            NODE, number, [Reannouncement(workspace, id, fence, 0, infos[id]) for id, fence in fences.items()]
        )
        assert not lost, f"Redis refused {len(lost)} machines: {lost[0]}"
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(beat())
            try:
                yield change
            finally:
                beating.cancel()
    finally:
        await registry.close()
        await redis.aclose()
