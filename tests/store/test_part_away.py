"""Checks that a server of a Redis Cluster which is away costs only its own shards, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from relay.errors import Unavailable
from relay.rules.presence import Info
from relay.store import Bus, Keys, Lease, Memory, Pipeline, Reannouncement, open_memory
from relay.store.connection import Commands, ask
from tests.store.cluster import NODE, Cluster, machine_id
from tests.store.listening import WAIT_SECONDS, Inbox, running
from tests.support.redis_cluster import PRIMARIES, RedisCluster, Server, redis_cluster

pytestmark = pytest.mark.xdist_group("redis-cluster")


@pytest.fixture(scope="module")
def servers() -> Iterator[RedisCluster]:
    """Six servers of which one primary and its replica are dead; the others go on with the slots that they have."""
    with redis_cluster("--cluster-require-full-coverage", "no") as cluster:
        dead = cluster.servers[1 + PRIMARIES], cluster.servers[1]
        for server in dead:
            server.kill()
        alive = [server for server in cluster.servers if server not in dead]
        cluster.wait(lambda: all(_believes_dead(each, len(dead)) for each in alive))
        yield cluster


def _believes_dead(server: Server, others: int) -> bool:
    return sum("fail" in line[2].split(",") for line in server.lines("CLUSTER", "NODES")) == others


@pytest_asyncio.fixture
async def memory(servers: RedisCluster) -> AsyncIterator[Memory]:
    """A client of the Cluster."""
    client = open_memory(servers.url)
    yield client
    await client.aclose()


@pytest.fixture
def cluster(memory: Memory) -> Cluster:
    """Nodes, machines and sweepers on the Cluster, whose workspace is on a primary that lives."""
    made = Cluster(memory, Keys(f"test-{machine_id()[:8]}"))
    made.enter(workspace_on(made, 0))
    return made


def shards_on(cluster: Cluster, number: int) -> set[int]:
    """The shards of one of the first three servers."""
    share = -(-REDIS_CLUSTER_HASH_SLOTS // PRIMARIES)
    return {each for each in cluster.keys.shards if key_slot(cluster.keys.events(each).encode()) // share == number}


def workspace_on(cluster: Cluster, number: int) -> str:
    """A workspace whose shard one of the first three servers has."""
    shards = shards_on(cluster, number)
    return next(each for each in iter(lambda: str(uuid4()), "") if cluster.keys.shard(each) in shards)


async def test_beats_of_other_shards_are_taken_and_healed(cluster: Cluster, servers: RedisCluster) -> None:
    """Another primary lost its memory meanwhile: whoever is connected there is put back."""
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    servers.servers[0].ask("FLUSHALL")
    flushed = await cluster.presence.beat(NODE, cluster.beats((machine, fence)))
    assert flushed.away == shards_on(cluster, 1)
    assert [(lost.machine, lost.reason) for lost in flushed.lost] == [(machine, "unknown")]
    every = await cluster.revocations.load_all({}, 0)
    assert every == flushed.away
    assert await cluster.reannounce((machine, fence)) == []
    assert await cluster.flush((machine, fence)) == []


async def test_machines_of_other_shards_are_put_back_together_with_those_that_cannot_be(
    cluster: Cluster, servers: RedisCluster
) -> None:
    await cluster.settle()
    present, away = cluster.workspace, workspace_on(cluster, 1)
    machines = {present: machine_id(), away: machine_id()}
    fence = await cluster.welcome(machine_id())
    back = [Reannouncement(each, machines[each], fence, 0, Info(pid=1)) for each in (away, present)]
    assert await cluster.presence.reannounce(NODE, 0, back) == []
    assert (await cluster.record(machines[present])).fence == fence
    with pytest.raises(Unavailable):
        await cluster.presence.reannounce(NODE, 0, back[:1])


async def test_every_node_stays_listed(cluster: Cluster) -> None:
    nodes = [Lease(str(uuid4()), "http://a", started) for started in range(9)]
    for node in nodes:
        assert not await cluster.leases.renew(node)
        assert await cluster.leases.renew(node)
    assert await cluster.leases.live() == nodes
    await cluster.leases.release(nodes[0].boot)
    assert await cluster.leases.live() == nodes[1:]


async def test_sweepers_claim_what_is_due_in_other_shards_and_compare_those(
    cluster: Cluster, servers: RedisCluster, memory: Memory
) -> None:
    await cluster.settle()
    leaving = machine_id()
    assert await cluster.presence.goodbye(cluster.workspace, leaving, await cluster.welcome(leaving))
    claimed = await cluster.claims.claim(cluster.keys.shards, 500, [NODE])
    assert [each.machine for each in claimed] == [leaving]
    await cluster.claims.confirm(claimed)
    assert await ask(memory, "ZCARD", cluster.keys.of(cluster.shard, "untold")) == 0
    assert await cluster.claims.retire(cluster.keys.shards, 500) == 0
    pairs = [(workspace_on(cluster, 1), machine_id()), (cluster.workspace, machine_id())]
    assert await cluster.claims.absent(pairs) == pairs[1:]
    with pytest.raises(Unavailable):
        await cluster.claims.claim(shards_on(cluster, 1), 500, [NODE])


async def answered(asking: Commands, key: str) -> None:
    """Wait until somebody answers for a key; servers hear from each other whose its slot is."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                assert await ask(asking, "GET", key) is None
                return
            except Unavailable:
                await asyncio.sleep(0.02)


async def reached(state: Callable[[], bool]) -> None:
    """Wait until this is so; a bus tells of the whole of it only."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not state():  # noqa: ASYNC110 - what turns true with time sets nothing
            await asyncio.sleep(0.02)


def inbox_on(cluster: Cluster, number: int) -> str:
    """A node's inbox that one of the first three servers has."""
    share = -(-REDIS_CLUSTER_HASH_SLOTS // PRIMARIES)
    inboxes = (cluster.keys.inbox(str(uuid4())) for _ in iter(int, 1))
    return next(each for each in inboxes if key_slot(each.encode()) // share == number)


async def test_a_bus_hears_what_other_servers_carry_and_says_that_it_does_not_hear_all(
    cluster: Cluster, servers: RedisCluster
) -> None:
    bus, inbox = Bus(servers.url, cluster.keys), Inbox()
    there, away = inbox_on(cluster, 0), inbox_on(cluster, 1)
    for channel in (there, away):
        bus.subscribe(channel, inbox.hear)
    async with running(bus):
        await reached(lambda: not bus.deaf_to(there))
        await bus.confirmed(there)
        bus.publish(there, b"heard")
        assert await inbox.until(lambda messages: len(messages) == 1) == [b"heard"]
        assert bus.deaf
        assert bus.deaf_to(away)


async def test_a_slot_that_had_no_owner_is_found_when_it_has_one_again(
    cluster: Cluster, servers: RedisCluster, memory: Memory
) -> None:
    """As after a dead primary was forgotten and its slots were given to another: no connection breaks for it."""
    bus, inbox, line = Bus(servers.url, cluster.keys), Inbox(), Pipeline(servers.url)
    channel = inbox_on(cluster, 0)
    slot, taker = key_slot(channel.encode()), servers.servers[2]
    bus.subscribe(channel, inbox.hear)
    async with running(bus):
        await bus.confirmed(channel)
        await reached(lambda: not bus.deaf_to(channel))
        for server in (each for each in servers.servers if each.running):
            server.ask("CLUSTER", "DELSLOTS", slot)
        await reached(lambda: bus.deaf_to(channel) and channel.encode() in bus._strays)
        for ask_it in (ask(memory, "GET", channel), ask(line, "GET", channel)):
            with pytest.raises(Unavailable):
                await ask_it
        taker.ask("CLUSTER", "ADDSLOTS", slot)
        taker.ask("CLUSTER", "BUMPEPOCH")
        await reached(lambda: not bus.deaf_to(channel))
        await bus.confirmed(channel)
        bus.publish(channel, b"found")
        assert await inbox.until(lambda messages: len(messages) == 1) == [b"found"]
        for asking in (memory, line):
            assert await ask(asking, "GET", channel) is None
    await line.aclose()


async def test_a_bus_that_lost_a_connection_says_when_it_is_back_although_another_server_is_away(
    cluster: Cluster, servers: RedisCluster
) -> None:
    restored = asyncio.Event()
    bus, channel = Bus(servers.url, cluster.keys, on_restored=restored.set), inbox_on(cluster, 0)
    bus.subscribe(channel, Inbox().hear)
    async with running(bus):
        await bus.confirmed(channel)
        await reached(lambda: not bus.deaf_to(channel))
        restored.clear()
        servers.servers[0].ask("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(WAIT_SECONDS):
            await restored.wait()
            await bus.confirmed(channel)
