"""Shows that whatever Redis does, sessions go on where they can, nobody is announced offline, and all heals by itself.

At the end of every scenario the load checks every promise: each byte once and in order or a gap that was said, input
applied once, and no machine announced offline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from relay.rules.timing import FLUSH_SECONDS
from relay.store import SHARDS, Keys, heartbeats, revocations
from relay.store.script import Script
from tests.faults.cluster import NODES, FaultCluster, Machines
from tests.faults.conftest import MACHINES
from tests.faults.load import Load, Plan, loaded
from tests.faults.readiness import reasons, until, until_ready
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-redis")  # on a cluster of their own, beside those of nodes

PLAN = Plan(sessions=1)
ROUND_SECONDS = FLUSH_SECONDS + 3.0  # in which every node has told Redis everything, on two busy cores
DEAF_NOTICED_SECONDS = 10.0
LATE_SECONDS = 0.2  # Redis answers so much later
LATE_BY_SECONDS = 3.0  # what is said is seen by then, as it is a quarter of a second later on a quiet computer
PAUSE_MS = 7_000  # longer than a bus that hears nothing is believed
LOOK_SECONDS = 0.1


@pytest.fixture
def server(cluster: FaultCluster) -> Iterator[Redis]:
    """The Redis of the shared cluster, as its operator sees it."""
    with Redis(unix_socket_path=str(cluster.valkey.socket), decode_responses=True) as client:
        yield client


async def healed(load: Load) -> None:
    """All nodes take newcomers, and everybody sees what is said; nobody had to be told of a gap."""
    await until_ready(load.cluster.urls)
    await load.catches_up()
    assert load.gaps == 0


async def remembered(server: Redis, workspace: str) -> float:
    """Wait until Redis knows all machines again; how many seconds that took."""
    since, keys = time.monotonic(), Keys()
    while server.hlen(keys.of(keys.shard(workspace), "fences")) < len(MACHINES):
        assert time.monotonic() - since < within(2 * ROUND_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - since


@asynccontextmanager
async def overheard(cluster: FaultCluster) -> AsyncIterator[Callable[[Script], int]]:
    """Listen to all that Redis is asked; what is yielded tells afterwards how often a script was."""
    reader, writer = await asyncio.open_unix_connection(str(cluster.valkey.socket))
    heard: list[bytes] = []

    async def listen() -> None:
        while data := await reader.read(2**16):
            heard.append(data)

    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    listening = asyncio.create_task(listen())
    try:
        yield lambda script: b"".join(heard).count(b'"EVALSHA" "%s"' % script.sha.encode())
    finally:
        listening.cancel()
        writer.close()
        await writer.wait_closed()


async def test_a_redis_that_forgets_everything_is_told_again_within_one_round_and_without_a_storm(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, server: Redis
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        async with overheard(cluster) as calls:
            since = time.monotonic()
            server.flushall()
            assert await remembered(server, faults_team.workspace) <= within(ROUND_SECONDS)
            ours = [each for each in faults_team.machines() if each["id"] in load.ids]  # others left scenarios ago
            assert {machine["state"] for machine in ours} <= {"live", "degraded"}
            await healed(load)
            rounds = 2 + (time.monotonic() - since) // FLUSH_SECONDS  # one was perhaps under way, and one due at once
        assert 0 < calls(heartbeats._BEAT) <= NODES * SHARDS * rounds, "nobody flushes out of turn"
        assert calls(revocations._LOAD) <= NODES * (SHARDS + 1), "each loads once who is revoked, and what changed then"
        assert calls(heartbeats._REANNOUNCE) <= NODES * rounds, "each node puts all of its machines back in one call"


async def test_a_redis_that_is_restarted_is_found_again_with_its_data_and_without(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, server: Redis
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        server.save()
        cluster.valkey.stop()
        cluster.valkey.start()
        assert server.dbsize() > 0
        await healed(load)
        (cluster.valkey.folder / "dump.rdb").unlink()
        cluster.valkey.stop()
        cluster.valkey.start()
        assert await remembered(server, faults_team.workspace) <= within(ROUND_SECONDS)
        await healed(load)


async def test_a_redis_that_answers_late_makes_things_late_and_nothing_else(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        for url in cluster.urls:
            cluster.redis(url).delay(LATE_SECONDS, way="down")
        for _ in range(5):
            assert max(await load.catches_up()) < within(LATE_BY_SECONDS)
        assert not set().union(*map(reasons, cluster.urls))
        cluster.lend.heal()
        await healed(load)


async def test_a_node_that_is_deaf_on_a_healthy_connection_says_so_within_ten_seconds_and_recovers(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        deaf, *others = cluster.urls
        cluster.redis(deaf).deafen()
        assert await until(deaf, lambda found: "bus-deaf" in found) <= within(DEAF_NOTICED_SECONDS)
        assert not set().union(*map(reasons, others))
        cluster.lend.heal()
        await healed(load)


async def test_nodes_that_redis_cuts_for_reading_too_slowly_come_back_and_miss_nothing(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, server: Redis
) -> None:
    def cut() -> int:
        return int(server.info("stats")["client_output_buffer_limit_disconnections"])

    usual = str(server.config_get("client-output-buffer-limit")["client-output-buffer-limit"])
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        before = cut()
        server.config_set("client-output-buffer-limit", "pubsub 1kb 0 0")
        try:
            for url in cluster.urls:
                cluster.redis(url).stall(way="down")
            since = time.monotonic()
            while cut() == before:
                assert time.monotonic() - since < within(DEAF_NOTICED_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            server.config_set("client-output-buffer-limit", usual)
        cluster.lend.heal()
        await healed(load)


async def test_a_redis_whose_clients_are_paused_is_waited_for(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, server: Redis
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        server.client_pause(PAUSE_MS)
        for url in cluster.urls:
            assert await until(url, lambda found: "bus-deaf" in found) <= within(DEAF_NOTICED_SECONDS)
        await healed(load)


async def test_a_redis_that_is_full_takes_no_beats_and_ends_nothing(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, server: Redis
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed, PLAN) as load:
        server.config_set("maxmemory", 1)
        try:
            node, words = cluster.nodes[0], "beats wait for Redis"
            await asyncio.to_thread(node.says, words, times=node.output().count(words) + 1)
            await load.catches_up()
        finally:
            server.config_set("maxmemory", 0)
        await healed(load)
