"""Checks that all of the store works on a Redis Cluster, and heals when a primary dies, hangs or gives slots away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import pytest_asyncio
from redis import Redis as BlockingRedis
from redis.exceptions import NoPermissionError

from relay.errors import Misconfigured, Unavailable
from relay.rules.presence import Fence
from relay.store import (
    Bus,
    DeviceCodes,
    Keys,
    Lost,
    Memory,
    Pipeline,
    Presence,
    Rate,
    Rates,
    Tickets,
    agree,
    open_memory,
)
from relay.store.connection import answering, ask
from relay.store.memory import ask_all
from relay.store.script import Script
from relay.store.servers import Address
from relay.store.sharded import Sharded
from relay.store.slots import Slots
from tests.store.cluster import NODE, Cluster, machine_id
from tests.store.listening import WAIT_SECONDS, Inbox, listening, running
from tests.support.ports import free_ports
from tests.support.redis_cluster import RedisCluster, redis_cluster
from tests.support.valkey import Valkey

pytestmark = pytest.mark.xdist_group("redis-cluster")
HEALED_SECONDS = 15.0  # what is promised of a failover
PATIENT_SECONDS = 3_600.0  # for an answer, so that nobody goes on because the one who hangs was given up


@pytest.fixture(scope="module")
def _servers() -> Iterator[RedisCluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def servers(_servers: RedisCluster) -> Iterator[RedisCluster]:
    """The six servers; whole again after each test."""
    yield _servers
    _servers.wait(_servers.whole)


@pytest_asyncio.fixture
async def memory(servers: RedisCluster) -> AsyncIterator[Memory]:
    """A client of the Cluster."""
    client = open_memory(servers.url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def line(servers: RedisCluster) -> AsyncIterator[Pipeline]:
    """A pipeline to the Cluster."""
    made = Pipeline(servers.url)
    yield made
    await made.aclose()


@pytest.fixture
def cluster(memory: Memory) -> Cluster:
    """Nodes, machines and sweepers on the Cluster, under a prefix of their own."""
    return Cluster(memory, Keys(f"test-{machine_id()[:8]}"))


async def test_machines_live_and_are_swept_as_on_one_server(cluster: Cluster) -> None:
    await cluster.settle()
    machine, other = machine_id(), machine_id()
    fence = await cluster.welcome(machine)
    assert await cluster.flush((machine, fence)) == []
    assert (await cluster.record(machine)).fence == fence
    assert [lost.reason for lost in await cluster.flush((other, fence))] == ["unknown"]
    assert await cluster.reannounce((other, fence)) == []
    assert await cluster.presence.goodbye(cluster.workspace, machine, fence)
    assert [claimed.machine for claimed in await cluster.tell()] != []
    assert set((await cluster.presence.read(cluster.workspace)).records) == {machine, other}


async def test_what_shares_no_slot_works_too(cluster: Cluster, memory: Memory) -> None:
    keys = cluster.keys
    await agree(memory, keys, {"BEAT_SECONDS": 10.0})
    with pytest.raises(Misconfigured, match="BEAT_SECONDS"):
        await agree(memory, keys, {"BEAT_SECONDS": 11.0})
    for number in range(20):
        await cluster.lease(f"node-{number}")
    assert len(await cluster.leases.live()) == 20
    await cluster.leases.release("node-7")
    assert len(await cluster.leases.live()) == 19
    tickets = Tickets(memory, keys)
    await tickets.issue("rly_tick_x", "somebody")
    assert [await tickets.redeem("rly_tick_x") for _ in range(2)] == ["somebody", None]
    assert await Rates(memory, keys).take(Rate("sign-in", 1, 0.1), "a") == 0.0
    codes = DeviceCodes(memory, keys)
    assert await codes.begin("device", "CODE")
    assert not await codes.begin("other", "CODE")
    assert await codes.approve("CODE", "person")


async def test_a_shard_is_read_with_the_clock_of_its_own_server(cluster: Cluster, memory: Memory) -> None:
    for shard in range(12):
        key = cluster.keys.of(shard, "marker")
        answers = await ask_all(memory, [("TIME",), ("HGET", key, "nothing"), ("ECHO", "x")][:2])
        assert len(answers[0]) == 2
        assert answers[1] is None


async def test_a_message_reaches_its_channel_on_whichever_primary_it_is(servers: RedisCluster) -> None:
    keys, inbox = Keys("test"), Inbox()
    sent = [b"%d" % number for number in range(300)]
    async with listening(servers.url, keys) as sender, listening(servers.url, keys) as receiver:
        assert len(receiver._branches) == 3
        for number in range(30):
            receiver.subscribe(keys.inbox(str(number)), inbox.hear)
        for number in range(30):
            await receiver.confirmed(keys.inbox(str(number)))
        for number, message in enumerate(sent):
            sender.publish(keys.inbox(str(number % 30)), message)
        heard = await inbox.until(lambda messages: len(messages) == len(sent))
        for number in range(30):
            mine = [int(message) for message in heard if int(message) % 30 == number]
            assert mine == sorted(mine)


async def test_a_script_rings_over_the_bus(servers: RedisCluster, cluster: Cluster) -> None:
    bells = Inbox()
    async with listening(servers.url, cluster.keys) as bus:
        bus.subscribe(cluster.keys.events(cluster.shard), bells.hear)
        await bus.confirmed(cluster.keys.events(cluster.shard))
        await cluster.settle()
        await cluster.welcome(machine_id())
        await bells.until(lambda messages: len(messages) == 1)


class Story:
    """A machine on a Cluster, and a bus that listens for its events; what happens to both while a primary is gone."""

    def __init__(self, servers: RedisCluster, cluster: Cluster) -> None:
        self.cluster = cluster
        self.restored = asyncio.Event()
        self.bus = Bus(servers.url, cluster.keys, on_restored=self.restored.set)
        self.inbox = Inbox()
        self.channel = cluster.keys.events(cluster.shard)

    async def begin(self) -> None:
        """The machine says hello and the bus listens."""
        await asyncio.wait_for(self.bus.ready(), WAIT_SECONDS)
        self.bus.subscribe(self.channel, self.inbox.hear)
        await self.bus.confirmed(self.channel)
        await self.cluster.settle()
        self.machine = machine_id()
        self.fence = await self.cluster.welcome(self.machine)
        await self.inbox.until(lambda messages: len(messages) == 1)

    async def healed(self) -> float:
        """Wait until beats are taken and the bus is whole; how many seconds it took."""
        since = time.monotonic()
        lost = await _once_answering(self.cluster, self.machine, self.fence)
        if lost:  # replication is asynchronous: the hello may not have arrived
            assert [each.reason for each in lost] == ["unknown"]
            await self.cluster.revocations.load(self.cluster.shard, [], 0)
            assert await self.cluster.reannounce((self.machine, self.fence)) == []
        await asyncio.wait_for(self.restored.wait(), WAIT_SECONDS * 2)
        took = time.monotonic() - since
        self.bus.publish(self.channel, b"again")
        await self.inbox.until(lambda messages: messages[-1] == b"again")
        assert (await self.cluster.record(self.machine)).fence == self.fence
        assert not self.bus.deaf
        return took


async def _once_answering(cluster: Cluster, machine: str, fence: Fence) -> list[Lost]:
    async with asyncio.timeout(WAIT_SECONDS * 2):
        while True:
            try:
                return await cluster.flush((machine, fence))
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_login_in_the_url_is_used_at_every_server(servers: RedisCluster) -> None:
    for server in servers.servers:
        server.ask("ACL", "SETUSER", "relay", "on", ">s3cret:", "~*", "&*", "+@all", "-acl")
    url = servers.url.replace("//", "//relay:s3cret%3A@")
    client = open_memory(url)
    keys = Keys("test")
    for shard in range(9):
        assert await ask(client, "GET", keys.of(shard, "upto")) is None
    with pytest.raises(NoPermissionError):
        await ask(client, "ACL", "WHOAMI")
    async with listening(url, keys) as bus:
        assert not bus.deaf
    await client.aclose()


async def test_a_server_that_is_no_cluster_is_a_mistake_in_the_settings(valkey: Valkey) -> None:
    (port,) = free_ports(1)
    client = open_memory(f"redis+cluster://127.0.0.1:{port}")
    with BlockingRedis(unix_socket_path=str(valkey.socket)) as blocking:
        blocking.config_set("port", port)
        try:
            with pytest.raises(Misconfigured, match="no Redis Cluster"):
                await ask(client, "GET", "x")
        finally:
            blocking.config_set("port", 0)
    await client.aclose()


async def test_a_thousand_commands_that_fail_at_once_ask_for_the_map_once(servers: RedisCluster) -> None:
    slots = Slots(servers.url)
    asked = 0
    ask_for_map = slots._ask

    async def count(address: Address) -> object:
        nonlocal asked
        asked += 1
        return await ask_for_map(address)

    slots._ask = count  # type: ignore[method-assign]
    await asyncio.gather(*(slots.learn() for _ in range(1_000)))
    await slots.learn()
    assert asked == 1
    assert len(slots.addresses) == 3
    await slots.aclose()


async def test_a_server_that_hangs_keeps_nobody_from_the_map(
    servers: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("slots", "connection"):
        monkeypatch.setattr(f"relay.store.{module}.ANSWER_SECONDS", PATIENT_SECONDS)
    hanging = servers.servers[-1]
    hanging.freeze()
    try:
        for _ in range(4):
            slots = Slots(f"redis+cluster://127.0.0.1:{hanging.port},127.0.0.1:{servers.servers[0].port}")
            async with asyncio.timeout(WAIT_SECONDS):
                await slots.learn()
            await slots.aclose()
    finally:
        hanging.thaw()


async def test_a_slot_that_is_given_away_is_followed(servers: RedisCluster, cluster: Cluster) -> None:
    story = Story(servers, cluster)
    async with running(story.bus):
        await story.begin()
        taker = await asyncio.to_thread(servers.give_away, story.channel)
        assert await story.healed() <= HEALED_SECONDS
        assert servers.owner(story.channel) is taker
        assert story.bus.losses == 1


async def test_while_a_slot_is_on_its_way_each_key_is_found_and_scripts_wait(
    servers: RedisCluster, cluster: Cluster, memory: Memory, line: Pipeline
) -> None:
    """A script needs all of its keys in one place, and some are still in the other."""
    await cluster.settle()
    key = cluster.keys.events(cluster.shard)
    giver, taker = servers.begin_to_give_away(key)
    there, missing = cluster.keys.of(cluster.shard, "marker"), cluster.keys.of(cluster.shard, "missing")
    assert await ask(memory, "HGET", there, "by") == NODE
    await ask(memory, "SET", missing, "made at the taker")
    assert await ask(memory, "GET", missing) == "made at the taker"
    assert await ask_all(memory, [("GET", missing), ("HGET", there, "by")]) == ["made at the taker", NODE]
    with pytest.raises(Unavailable), answering():
        await line.execute_command("GET", missing)
    with pytest.raises(Unavailable):
        await cluster.hello(machine_id())
    await asyncio.to_thread(servers.finish_giving_away, key, giver, taker)
    await cluster.welcome(machine_id())
    assert await line.execute_command("GET", missing) == "made at the taker"


async def test_the_pipeline_asks_each_key_s_own_server_and_follows_it(
    servers: RedisCluster, cluster: Cluster, line: Pipeline
) -> None:
    script, shards = Script("return {KEYS[1], redis.call('INCR', KEYS[1])}"), cluster.keys.shards
    keys = [cluster.keys.of(shard, "count") for shard in shards] * 10
    answers = await asyncio.gather(*(script.run(line, (key,)) for key in keys))
    assert [answer[0] for answer in answers] == keys
    assert len(line._lines) == 3
    await asyncio.to_thread(servers.give_away, keys[0])
    assert await script.run(line, (keys[0],)) == [keys[0], 11]
    primary = servers.owner(keys[0])
    primary.kill()
    try:
        async with asyncio.timeout(HEALED_SECONDS):
            while True:
                try:
                    assert (await script.run(line, (keys[0],)))[0] == keys[0]
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
    finally:
        primary.start()


async def test_beats_for_other_servers_do_not_wait_for_one_that_hangs(
    servers: RedisCluster, cluster: Cluster, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.connection.ANSWER_SECONDS", PATIENT_SECONDS)
    patient = open_memory(servers.url)
    await cluster.settle()
    markers = {shard: cluster.keys.of(shard, "marker") for shard in cluster.keys.shards}
    hanging = servers.owner(markers[0])
    assert isinstance(memory, Sharded)
    others = [marker for marker in markers.values() if memory.slots.owner(marker).port != hanging.port]
    hanging.freeze()
    try:
        flush = asyncio.create_task(Presence(patient, cluster.keys).beat("another node", []))
        async with asyncio.timeout(WAIT_SECONDS):
            for marker in others:
                while await ask(memory, "HGET", marker, "by") != "another node":
                    pass
        assert not flush.done()
    finally:
        hanging.thaw()
    with suppress(Unavailable):
        await flush
    await patient.aclose()


async def test_a_killed_primary_is_replaced_within_seconds(servers: RedisCluster, cluster: Cluster) -> None:
    story = Story(servers, cluster)
    async with running(story.bus):
        await story.begin()
        primary = servers.owner(story.channel)
        primary.kill()
        try:
            took = await story.healed()
        finally:
            primary.start()
        print(f"healed after {took:.1f} s")
        assert took <= HEALED_SECONDS


async def test_a_primary_that_hangs_is_replaced_and_not_believed_when_it_is_back(
    servers: RedisCluster, cluster: Cluster
) -> None:
    story = Story(servers, cluster)
    async with running(story.bus):
        await story.begin()
        primary = servers.owner(story.channel)
        primary.freeze()
        try:
            took = await story.healed()
        finally:
            primary.thaw()
        print(f"healed after {took:.1f} s")
        assert took <= HEALED_SECONDS
        assert await cluster.flush((story.machine, story.fence)) == []
