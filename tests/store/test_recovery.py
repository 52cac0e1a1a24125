"""Checks that a Redis that forgot everything is told again in few calls, however many machines there are."""

from __future__ import annotations

from uuid import uuid4

from redis.asyncio import Redis

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Fence, Info
from relay.store import SHARDS, Beat, Keys, Presence, Reannouncement, Revocations
from relay.store.heartbeats import REANNOUNCED_AT_ONCE

MACHINES = 2_000
WORKSPACES = 4


async def calls(redis: Redis) -> int:
    """How many scripts ran since the last reset."""
    return int((await redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))


async def test_two_thousand_machines_are_back_after_two_rounds_of_few_calls(redis: Redis, keys: Keys) -> None:
    presence, revocations = Presence(redis, keys), Revocations(redis, keys)
    workspaces = [str(uuid4()) for _ in range(WORKSPACES)]
    machines = [(workspaces[n % WORKSPACES], str(uuid4()), Fence(1, n + 1, "connection")) for n in range(MACHINES)]
    beats = [Beat(workspace, machine, fence, 0) for workspace, machine, fence in machines]
    known = [Reannouncement(workspace, machine, fence, 0, Info(pid=1)) for workspace, machine, fence in machines]

    async def mirror() -> None:
        for shard in {keys.shard(workspace) for workspace in workspaces}:
            await revocations.load(shard, [], 0)

    await mirror()
    assert await presence.reannounce("node", 0, known) == []
    assert (await presence.beat("node", beats)).lost == []
    await redis.flushall()
    await redis.config_resetstat()

    lost, _ = await presence.beat("node", beats)
    assert sorted(each.machine for each in lost) == sorted(machine for _, machine, _ in machines)
    assert {each.reason for each in lost} == {"unknown"}
    assert await calls(redis) <= SHARDS + MACHINES // SCRIPT_IDS

    await mirror()
    await redis.config_resetstat()
    assert await presence.reannounce("node", 0, known) == []
    assert await calls(redis) <= WORKSPACES + MACHINES // REANNOUNCED_AT_ONCE
    assert (await presence.beat("node", beats)).lost == []
