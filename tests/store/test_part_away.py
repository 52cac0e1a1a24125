"""Checks that a server of a Redis Cluster which is away costs only its own shards, whoever asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from relay.errors import Unavailable
from relay.rules.presence import Info
from relay.store import Keys, Lease, Memory, Reannouncement, open_memory
from relay.store.connection import ask
from tests.store.cluster import NODE, Cluster, machine_id
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
