"""Checks that presence and the bus follow a failover to the new primary by themselves."""

from __future__ import annotations

import asyncio

from relay.errors import Unavailable
from relay.rules.presence import Fence
from relay.store import Bus, Keys, Lost, connect
from tests.store.cluster import Cluster, machine_id
from tests.store.listening import WAIT_SECONDS, Inbox, running
from tests.store.sentinels import sentinels


async def test_a_failover_is_followed_and_no_machine_is_lost_by_it(keys: Keys) -> None:
    with sentinels() as servers:
        redis = connect(servers.url)
        cluster, inbox, restored = Cluster(redis, keys), Inbox(), asyncio.Event()
        bus = Bus(servers.url, keys, on_restored=restored.set)
        async with running(bus):
            await asyncio.wait_for(bus.ready(), WAIT_SECONDS)
            bus.subscribe(keys.inbox("b"), inbox.hear)
            await cluster.settle()
            machine = machine_id()
            fence = await cluster.welcome(machine)
            await asyncio.to_thread(servers.fail_over)

            await asyncio.wait_for(restored.wait(), WAIT_SECONDS)
            bus.publish(keys.inbox("b"), b"on the new primary")
            await inbox.until(lambda messages: messages == [b"on the new primary"])
            for lost in await _once_answering(cluster, machine, fence):
                assert lost.reason == "unknown"  # replication is asynchronous: the hello may not have arrived
                await cluster.revocations.load(cluster.shard, [], 0)
                assert await cluster.reannounce((machine, fence)) == []
            assert (await cluster.record(machine)).fence == fence
        await redis.aclose()


async def _once_answering(cluster: Cluster, machine: str, fence: Fence) -> list[Lost]:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await cluster.flush((machine, fence))
            except Unavailable:
                continue
