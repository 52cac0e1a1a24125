"""Checks that sweepers and cleaners do their work on a Redis Cluster, also across the death of a primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
from redis.asyncio import Redis

from relay.errors import Unavailable
from relay.registry import Registry
from relay.store import Keys, open_memory
from tests.support.redis_cluster import RedisCluster, redis_cluster
from tests.support.valkey import Valkey
from tests.workers.fleet import Fleet
from workers.cleaner import Cleaner

pytestmark = pytest.mark.xdist_group("redis-cluster")
HEALED_SECONDS = 15.0


@pytest.fixture
def servers() -> Iterator[RedisCluster]:
    """Three primaries with a replica each."""
    with redis_cluster() as found:
        yield found


@pytest.fixture
async def fleet(database_url: str, servers: RedisCluster, keys: Keys) -> AsyncIterator[Fleet]:
    """A workspace on the Cluster whose machines this test plays."""
    registry, memory = await Registry.open(database_url), open_memory(servers.url)
    yield await Fleet.found(registry, cast(Redis, memory), cast(Valkey, None), keys)
    await memory.aclose()
    await registry.close()


async def test_sweepers_on_a_redis_cluster_tell_the_registry_once_and_go_on_after_a_failover(
    fleet: Fleet, servers: RedisCluster
) -> None:
    shards = fleet.keys.shards
    joined = dict([await fleet.join(f"prod-{number}") for number in range(3)])
    assert (await fleet.sweeper().round(shards)).online == len(joined)
    leaving, *staying = joined
    assert await fleet.presence.goodbye(fleet.workspace, leaving, joined[leaving])
    rounds = await asyncio.gather(*(fleet.sweeper().round(shards) for _ in range(2)))
    assert sum(done.offline for done in rounds) == 1
    assert (await fleet.row(leaving)).offline_reason == "closed"
    assert await Cleaner(fleet.registry, fleet.claims, lambda: fleet.acme.now_ms).round(shards) >= 0

    servers.owner(fleet.keys.events(fleet.shard)).kill()
    sweeper = fleet.sweeper()
    async with asyncio.timeout(HEALED_SECONDS):
        while True:
            try:
                done = await sweeper.round(shards)
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    assert done.offline == 0
    assert [(await fleet.row(machine)).offline_reason for machine in staying] == [None, None]
