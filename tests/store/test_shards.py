"""Checks a Redis that is divided among servers which know nothing of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import pytest_asyncio

from relay.errors import Misconfigured, Unavailable
from relay.store import Keys, Lease, Memory, agree, open_memory
from relay.store.belonging import belong, claim, holder
from relay.store.inspection import Inspection
from relay.store.memory import servers
from tests.store.cluster import NODE, Cluster, machine_id
from tests.store.listening import WAIT_SECONDS, Inbox, listening
from tests.support.redis_shards import Shards, redis_shards

SERVERS = 3


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    """Three servers."""
    with redis_shards(SERVERS) as started:
        yield started


@pytest.fixture
def keys() -> Keys:
    """Those of a cluster of its own."""
    return Keys(f"test-{machine_id()[:8]}")


@pytest_asyncio.fixture
async def memory(shards: Shards) -> AsyncIterator[Memory]:
    """A client of all three."""
    async with opened(shards.url) as client:
        yield client


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Memory]:
    """A client for the length of a block."""
    client = open_memory(url)
    yield client
    await client.aclose()


def shards_on(keys: Keys, url: str, port: int) -> set[int]:
    """The shards that one server of a division has."""
    known = servers(url)
    return {shard for shard in keys.shards if known.owner(keys.events(shard)).port == port}


async def test_every_server_has_an_equal_part_and_the_keys_of_a_workspace_stay_together(
    shards: Shards, memory: Memory, keys: Keys
) -> None:
    parts = [shards_on(keys, shards.url, server.port) for server in shards.servers]
    assert set.union(*parts) == set(keys.shards)
    assert all(len(keys.shards) / SERVERS * 0.5 < len(part) < len(keys.shards) / SERVERS * 1.5 for part in parts), parts
    cluster = Cluster(memory, keys)
    for _ in range(12):
        cluster.enter(str(uuid4()))
        await cluster.settle()
        machine = machine_id()
        fence = await cluster.welcome(machine)
        assert (await cluster.record(machine)).fence == fence
        assert await cluster.presence.goodbye(cluster.workspace, machine, fence)
    claimed = await cluster.claims.claim(keys.shards, 500, [NODE])
    assert len(claimed) == 12
    for part, server in zip(parts, shards.servers, strict=True):
        held = {key.split(":")[1] for key in server.names() if key.startswith(f"{keys.prefix}:{{p")}
        assert held <= {f"{{p{shard}}}" for shard in part}


async def test_messages_find_every_channel_and_one_list_of_nodes_is_kept_on_each_server(
    shards: Shards, memory: Memory, keys: Keys
) -> None:
    nodes = [Lease(str(uuid4()), "http://a", started) for started in range(6)]
    async with listening(shards.url, keys) as here, listening(shards.url, keys) as there:
        inboxes = {node.boot: Inbox() for node in nodes}
        for boot, inbox in inboxes.items():
            there.subscribe(keys.inbox(boot), inbox.hear)
        await asyncio.wait_for(there.ready(), WAIT_SECONDS)
        for boot, inbox in inboxes.items():
            here.publish(keys.inbox(boot), boot.encode())
            assert await inbox.until(bool) == [boot.encode()]
    cluster = Cluster(memory, keys)
    for node in nodes:
        await cluster.leases.renew(node)
    assert await cluster.leases.live() == nodes
    assert all(any(key.endswith(":leases") for key in server.names()) for server in shards.servers)


async def test_a_server_that_is_away_costs_only_its_own_shards_and_comes_back_empty(keys: Keys) -> None:
    with redis_shards(SERVERS) as shards:
        async with opened(shards.url) as memory:
            cluster = Cluster(memory, keys)
            lost = shards.servers[1]
            gone = shards_on(keys, shards.url, lost.port)
            cluster.enter(next(each for each in iter(lambda: str(uuid4()), "") if keys.shard(each) not in gone))
            await cluster.settle()
            machine = machine_id()
            fence = await cluster.welcome(machine)
            node = Lease(NODE, "http://a", 1)
            await cluster.leases.renew(node)
            lost.kill()
            assert (await cluster.presence.beat(NODE, cluster.beats((machine, fence)))).away == gone
            assert await cluster.leases.renew(node)
            assert await cluster.leases.live() == [node]
            with pytest.raises(Unavailable):
                await cluster.claims.claim(gone, 500, [NODE])
            lost.start()
            assert (await cluster.presence.beat(NODE, cluster.beats((machine, fence)))).away == set()


async def test_whoever_divides_redis_otherwise_is_refused_and_told_both_lists(shards: Shards, keys: Keys) -> None:
    values = {"BEAT_SECONDS": 10.0}
    async with opened(shards.url_of(0, 1)) as two, opened(shards.url) as three:
        await agree(two, keys, values)
        ports = [server.port for server in shards.servers]
        here = ",".join(f"127.0.0.1:{port}" for port in ports)
        there = ",".join(f"127.0.0.1:{port}" for port in ports[:2])
        with pytest.raises(Misconfigured, match=f"names the shards {here} here and the shards {there} in the cluster"):
            await agree(three, keys, values)
        async with opened(f"redis://127.0.0.1:{ports[0]}") as one:
            with pytest.raises(Misconfigured, match=f"names one Redis here and the shards {there} in the cluster"):
                await agree(one, keys, values)


async def test_a_server_is_added_once_the_last_node_of_the_old_list_is_gone(shards: Shards, keys: Keys) -> None:
    async with opened(shards.url_of(0, 1)) as two, opened(shards.url) as three:
        old, new = Cluster(two, keys), Cluster(three, keys)
        await agree(two, keys, {})
        await old.leases.renew(Lease("old", "http://a", 1))
        with pytest.raises(Misconfigured):
            await agree(three, keys, {})
        for server in shards.servers:
            server.forget(keys.layout)  # fifteen seconds after the last lease
        await agree(three, keys, {})
        new.enter(old.workspace)
        await new.settle()
        machine = machine_id()
        fence = await new.welcome(machine)
        assert (await new.record(machine)).fence == fence
        with pytest.raises(Misconfigured):
            await agree(two, keys, {})


async def test_a_node_of_the_cluster_starts_and_no_other_whichever_server_is_away(
    shards: Shards, memory: Memory, keys: Keys
) -> None:
    values = {"BEAT_SECONDS": 10.0}
    await belong(memory, keys, "ours")
    await agree(memory, keys, values)
    for lost in shards.servers:
        lost.kill()
        try:
            await belong(memory, keys, "ours")
            await agree(memory, keys, values)
            with pytest.raises(Misconfigured, match="its registry is ours, and RELAY_DATABASE_URL names theirs"):
                await belong(memory, keys, "theirs")
            with pytest.raises(Misconfigured, match="BEAT_SECONDS is 11 here and 10 in the cluster"):
                await agree(memory, keys, {"BEAT_SECONDS": 11.0})
            assert await holder(memory, keys) == "ours"
            assert (await Inspection(memory, keys).owner()) == "ours"
        finally:
            lost.start()


async def test_of_many_clusters_that_claim_fresh_servers_at_once_one_has_them_all(
    shards: Shards, memory: Memory, keys: Keys
) -> None:
    found = await asyncio.gather(*(claim(memory, keys, f"registry-{each}") for each in range(20)))
    assert len(set(found)) == 1
    for server in shards.servers:
        assert keys.registry in server.names()
    assert await claim(memory, keys, found[0]) == found[0]


async def test_a_node_that_missed_another_division_knows_while_it_lasts(shards: Shards, keys: Keys) -> None:
    async with opened(shards.url_of(0, 1)) as two, opened(shards.url) as three:
        old, lease = Cluster(two, keys).leases, Lease("old", "http://a", 1)
        await old.renew(lease)
        assert not old.misconfigured
        for server in shards.servers:
            server.forget(keys.layout)  # the node stood still for fifteen seconds
        await agree(three, keys, {})
        await old.renew(lease)
        assert old.misconfigured
        for server in shards.servers:
            server.forget(keys.layout)
        await old.renew(lease)
        assert not old.misconfigured


@pytest.mark.parametrize(
    "url", ["redis+shards://", "redis+shards://a:1,a:1", "redis+shards://a:1/2", "rediss+shards://a:port"]
)
def test_a_list_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="RELAY_REDIS_URL"):
        open_memory(url)
