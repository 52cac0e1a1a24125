"""Checks that a revoked machine stays revoked, whatever is lost on the way."""

from __future__ import annotations

from redis.asyncio import Redis

from relay.store import Keys, Lost, Refused, Revocations
from relay.store.heartbeats import UNCHECKED
from relay.store.revocations import _LOAD
from tests.store.cluster import Cluster, machine_id


async def test_a_revoked_machine_is_refused_at_hello_at_beat_and_at_re_announcement(cluster: Cluster) -> None:
    """The beat heals a lost kick: the next flush tells the node."""
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    await cluster.revoke(machine)
    assert await cluster.flush((machine, fence)) == [Lost(cluster.workspace, machine, "revoked", fence)]
    assert await cluster.reannounce((machine, fence)) == [Lost(cluster.workspace, machine, "revoked", fence)]
    assert await cluster.hello(machine, known_generation=fence.generation, token_version=9) == Refused("revoked")


async def test_a_late_beat_does_not_bring_a_forgotten_machine_back(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    await cluster.revoke(machine)
    await cluster.presence.forget(cluster.workspace, machine)
    assert [lost.reason for lost in await cluster.flush((machine, fence))] == ["revoked"]
    assert await cluster.presence.locate(cluster.workspace, machine) is None
    assert await cluster.tell() == []


async def test_a_hello_waits_until_the_mirror_is_as_far_as_its_node(cluster: Cluster) -> None:
    machine = machine_id()
    assert await cluster.hello(machine) == Refused("mirror-behind")  # Redis was just flushed
    await cluster.revocations.load(cluster.shard, [], 7)
    assert await cluster.hello(machine, revocations_upto=8) == Refused("mirror-behind")
    await cluster.welcome(machine, revocations_upto=7)
    assert [lost.reason for lost in await cluster.reannounce((machine, (await cluster.record(machine)).fence), upto=8)]


async def test_a_node_without_registry_puts_back_whom_it_holds_and_lets_nobody_in_by_that(cluster: Cluster) -> None:
    """The mirror is still said to be lost; whoever is known to be revoked is told so all the same."""
    await cluster.settle()
    kept, gone, stranger = machine_id(), machine_id(), machine_id()
    fences = {machine: await cluster.welcome(machine) for machine in (kept, gone)}
    await cluster.redis.flushall()
    await cluster.revoke(gone)
    lost = await cluster.reannounce(*fences.items(), upto=UNCHECKED)
    assert lost == [Lost(cluster.workspace, gone, "revoked", fences[gone])]
    assert (await cluster.record(kept)).fence == fences[kept]
    assert await cluster.hello(stranger) == Refused("mirror-behind")


async def test_a_flushed_redis_does_not_let_a_revoked_machine_in(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    await cluster.revoke(machine)
    await cluster.redis.flushall()
    assert await cluster.hello(machine) == Refused("mirror-behind")
    await cluster.revocations.load(cluster.shard, [machine], 3)
    assert await cluster.hello(machine) == Refused("revoked")


async def test_following_the_tail_extends_complete_shards_and_names_the_others(
    revocations: Revocations, keys: Keys, cluster: Cluster
) -> None:
    machine = machine_id()
    for shard in keys.shards:
        if shard != 5:
            await revocations.load(shard, [], 10)
    behind = await revocations.follow(10, 12, [(cluster.workspace, machine)])
    assert behind == [5]
    assert await revocations.upto(5) is None
    assert await revocations.upto(cluster.shard) == (None if cluster.shard == 5 else 12)
    assert await revocations.holds(cluster.workspace, machine) == (cluster.shard != 5)


async def test_a_mirror_with_a_hole_is_not_extended(revocations: Revocations, cluster: Cluster) -> None:
    await revocations.load(cluster.shard, [], 10)
    assert cluster.shard in await revocations.follow(11, 12, [])
    assert await revocations.upto(cluster.shard) == 10


async def test_neither_loading_nor_following_takes_anything_back(revocations: Revocations, cluster: Cluster) -> None:
    machine, another = machine_id(), machine_id()
    await revocations.load(cluster.shard, [machine], 10)
    await revocations.load(cluster.shard, [another], 4)  # a slower node
    await revocations.follow(3, 5, [])
    assert await revocations.upto(cluster.shard) == 10
    assert await revocations.holds(cluster.workspace, machine)
    assert await revocations.holds(cluster.workspace, another)


async def test_a_single_revocation_does_not_claim_that_the_mirror_is_complete(
    revocations: Revocations, cluster: Cluster
) -> None:
    await revocations.add(cluster.workspace, machine_id(), 9)
    assert await revocations.upto(cluster.shard) is None


async def test_a_load_of_many_arrives_whole(revocations: Revocations, cluster: Cluster) -> None:
    machines = [machine_id() for _ in range(1_234)]
    await revocations.load(cluster.shard, machines, 2_000)
    assert await cluster.redis.smembers(cluster.keys.of(cluster.shard, "revoked")) == set(machines)
    assert await revocations.upto(cluster.shard) == 2_000


async def test_a_load_that_redis_lost_in_its_middle_does_not_count_as_complete(redis: Redis, keys: Keys) -> None:
    """Else the last part would write `upto` although the first is gone."""
    mirror = (keys.of(3, "revoked"), keys.of(3, "upto"), keys.loading(3, "t"))
    assert await _LOAD.run(redis, mirror, (1, 2, 10, "first"))
    await redis.flushall()
    assert not await _LOAD.run(redis, mirror, (2, 2, 10, "second"))
    assert await redis.get(keys.of(3, "upto")) is None


async def test_all_shards_are_loaded_in_few_round_trips_however_many_are_revoked_in_one(
    redis: Redis, keys: Keys, revocations: Revocations
) -> None:
    few, many = [machine_id()], [machine_id() for _ in range(1_100)]
    await revocations.load(0, [], 0)  # Redis has the script
    await redis.config_resetstat()
    await revocations.load_all({3: few, 7: many}, 9)
    calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert calls <= len(keys.shards) + 3
    assert {await revocations.upto(shard) for shard in keys.shards} == {9}
    assert await redis.scard(keys.of(7, "revoked")) == len(many)
    assert await redis.smembers(keys.of(3, "revoked")) == set(few)


async def test_shards_that_are_not_complete_up_to_a_change_are_found(revocations: Revocations) -> None:
    """Those that were lost are not among them: the next hello finds that out."""
    await revocations.load(3, [], 41)
    await revocations.load(4, [], 42)
    assert await revocations.behind(42) == [3]
    assert await revocations.behind(43) == [3, 4]
    assert await revocations.behind(0) == []
