"""Shows that a Redis that fails over, or is gone for long, costs nobody a byte and no machine its place."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from relay.store import Keys
from tests.faults.cluster import Machines, fault_cluster
from tests.faults.load import Load, Plan, loaded
from tests.faults.readiness import until, until_ready
from tests.faults.redis_servers import on_servers
from tests.faults.viewer import Viewer
from tests.store.sentinels import Sentinels, sentinels
from tests.support.patience import within
from tests.support.redis_cluster import RedisCluster, redis_cluster
from tests.support.valkey import running

pytestmark = pytest.mark.xdist_group("redis-failover")
HEALED_SECONDS = 15.0
NODE_TIMEOUT_MS = 3_000  # of silence are a server's death; with 5 s, which operators may prefer, it heals 2 s later
LOOK_SECONDS = 1.0
PLAN = Plan(sessions=1, every_ms=100)
ON_BOTH_NODES = Plan(sessions=2, every_ms=200)  # one machine's two sessions have their drivers on different nodes
OUTAGE_SECONDS = float(os.environ.get("FAULTS_OUTAGE_SECONDS", "40"))  # twice as long as nodes wait for it
LOST_SECONDS = 30.0  # by then a node says that it has lost Redis
LOCAL_SECONDS = 5.0  # nobody waits longer in a session that needs nothing but its own node, whatever else runs


@pytest.fixture
def servers() -> Iterator[RedisCluster]:
    """A Redis Cluster of six, which gives a server time as one in earnest does."""
    with redis_cluster("--cluster-node-timeout", str(NODE_TIMEOUT_MS)) as found:
        yield found


@pytest.fixture
def watched() -> Iterator[Sentinels]:
    """A primary with a replica, watched by a sentinel."""
    with sentinels() as found:
        yield found


async def healed(load: Load, since: float) -> None:
    """All nodes take newcomers and everybody sees what is said, soon enough and without a gap."""
    await until_ready(load.cluster.urls)
    await load.catches_up()
    await asyncio.to_thread(_listed, load, since + within(HEALED_SECONDS))
    took = time.monotonic() - since
    print(f"healed after {took:.1f} s; {load.records} records judged")
    assert took <= within(HEALED_SECONDS)
    assert load.gaps == 0
    await load.one_of_each()


async def test_the_death_of_a_primary_of_a_redis_cluster_is_healed_within_seconds(
    servers: RedisCluster, seed: int
) -> None:
    with on_servers(servers.url) as cluster:
        team, keys = cluster.team(), Keys()
        machines = cluster.machines(team, "builder", "laptop")
        async with loaded(cluster, team, machines, seed, PLAN) as load:
            events = keys.events(keys.shard(team.workspace))
            primary = servers.owner(events)
            since = time.monotonic()
            primary.kill()
            await asyncio.to_thread(servers.wait, lambda: servers.owner(events) is not primary)
            print(f"replaced after {time.monotonic() - since:.1f} s")
            await healed(load, since)
        machines.kill()


async def test_a_failover_by_sentinels_is_healed_within_seconds(watched: Sentinels, seed: int) -> None:
    with on_servers(watched.url) as cluster:
        team = cluster.team()
        machines = cluster.machines(team, "builder", "laptop")
        async with loaded(cluster, team, machines, seed, PLAN) as load:
            since = time.monotonic()
            await asyncio.to_thread(watched.fail_over)
            await healed(load, since)
        machines.kill()


async def test_sessions_that_need_only_their_own_node_outlive_a_redis_that_is_gone(seed: int) -> None:
    """Nobody is closed, nobody is announced offline, and what went over two nodes goes on where it stopped."""
    with running() as server, fault_cluster(server, nodes=2) as cluster:
        team = cluster.team()
        machines = cluster.machines(team, "builder", "laptop")
        async with loaded(cluster, team, machines, seed, ON_BOTH_NODES) as load:
            local = _local(load, machines)
            assert local, "somebody drives a session on the node of its machine"
            server.stop()
            stopped = time.monotonic()
            for url in cluster.urls:
                await until(url, lambda found: "redis-lost" in found, LOST_SECONDS)
            welcomes = [machines.welcomes(name) for name in ("builder", "laptop")]
            longest = 0.0
            while time.monotonic() - stopped < OUTAGE_SECONDS:
                now = time.monotonic()
                waits = [viewer.sees(now) for viewer in local]
                await asyncio.wait(waits, timeout=within(LOCAL_SECONDS))
                assert all(wait.done() for wait in waits), f"a session stalls after {now - stopped:.0f} s without Redis"
                longest = max(longest, *(wait.result() - now for wait in waits))
                await asyncio.sleep(LOOK_SECONDS)
            print(f"longest in a session on one node: {longest:.2f} s")
            assert [machines.welcomes(name) for name in ("builder", "laptop")] == welcomes
            server.start()
            await healed(load, time.monotonic())
        machines.kill()


def _listed(load: Load, give_up: float) -> None:
    """Wait until every node can tell where the machines are, and knows of no trouble with them."""
    for url in load.cluster.urls:
        owner = load.team.owner.on(url)
        while True:
            try:
                page = owner("GET", f"/api/machines?workspace={load.team.workspace}")
                assert {machine["state"] for machine in page["machines"]} <= {"live", "degraded"}
                break
            except AssertionError:
                assert time.monotonic() < give_up, f"{url} does not know its machines"
                time.sleep(0.1)


def _local(load: Load, machines: Machines) -> list[Viewer]:
    """Those who drive a session on their own node. Whoever watches one that is driven from another node waits for that
    driver, as for every driver that takes nothing, until the keyboard is not kept for it any more."""
    names = {machine["id"]: machine["name"] for machine in load.team.machines()}
    return [
        viewer
        for viewer in load.living()
        if viewer.attachment.driver
        and load.connections[int(viewer.name[1:])].node == machines.node_of(names[viewer.talk.target.machine])
    ]
