"""Checks that trouble with Redis or with nodes is not taken for trouble with machines."""

from __future__ import annotations

from typing import Any

import pytest

from relay.store import Lost, readout
from relay.store.connection import ask
from relay.store.memory import ask_all
from tests.store.cluster import NODE, OTHER_NODE, Cluster, machine_id


async def test_a_flushed_redis_is_unsettled_until_machines_had_a_round_to_come_back(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    await moving.redis.flushall()

    assert await moving.state(machine) == "degraded"  # nothing worse, although Redis knows nothing
    assert await moving.state(machine, was_offline=True) == "offline"
    assert await moving.flush((machine, fence)) == [Lost(moving.workspace, machine, "unknown", fence)]
    assert await moving.sweep() == []
    assert await moving.reannounce((machine, fence)) == [Lost(moving.workspace, machine, "mirror-behind", fence)]
    await moving.revocations.load(moving.shard, [], 0)
    assert await moving.reannounce((machine, fence)) == []
    assert await moving.state(machine) == "live"
    await moving.later(29, (machine, fence))
    assert await moving.sweep() == []
    await moving.later(2, (machine, fence))
    assert [claimed.reason for claimed in await moving.tell()] == [None]  # settled: SQL is told that it is online
    assert (await moving.record(machine)).fence == fence


async def test_what_fell_silent_while_redis_was_away_is_not_offline_before_the_shard_is_settled(
    moving: Cluster,
) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    await moving.tell()
    assert moving.valkey is not None
    moving.valkey.forward(300)  # no node has flushed for five minutes: perhaps it was Redis that stood still
    assert await moving.state(machine) == "degraded"
    assert await moving.sweep() == []
    await moving.later(29)
    assert await moving.state(machine) == "degraded"
    assert await moving.sweep() == []
    await moving.later(7)
    assert await moving.state(machine) == "offline"
    assert [claimed.machine for claimed in await moving.sweep()] == [machine]


async def test_a_shard_whose_flush_fails_is_unsettled_and_one_whose_flush_is_late_is_not(moving: Cluster) -> None:
    await moving.settle()
    assert moving.valkey is not None
    moving.valkey.forward(7)
    assert await _is_settled(moving)
    moving.valkey.forward(1)
    assert not await _is_settled(moving)
    await moving.flush()
    assert not await _is_settled(moving)


async def test_who_dropped_before_redis_was_away_for_a_grace_has_another_grace_to_return(moving: Cluster) -> None:
    await moving.settle()
    gone, returning = machine_id(), machine_id()
    fences = {machine: await moving.welcome(machine) for machine in (gone, returning)}
    await moving.tell()
    for machine, fence in fences.items():
        assert await moving.presence.drop(moving.workspace, machine, fence)
    deadline = (await moving.record(gone)).deadline_ms
    assert moving.valkey is not None
    moving.valkey.forward(11)  # nobody could say hello, and no node flushed
    assert await moving.state(gone) == "degraded"
    assert await moving.sweep() == []  # the sweeper has Redis again before any node has
    await moving.flush()
    await moving.later(9)
    assert await moving.state(gone) == "degraded"
    assert await moving.sweep() == []
    await moving.welcome(returning, OTHER_NODE, known_generation=fences[returning].generation)
    await moving.later(2)
    assert await moving.state(gone) == "offline"
    (claimed,) = await moving.tell()
    assert (claimed.machine, claimed.reason, claimed.offline_ms) == (gone, "dropped", deadline)
    assert await moving.state(returning) == "live"


async def test_who_was_turned_away_in_an_absence_too_short_to_be_seen_has_another_grace_too(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    assert await moving.presence.drop(moving.workspace, machine, fence)
    assert moving.valkey is not None
    moving.valkey.forward(7)  # which a flush that is late may take as well
    await moving.excuse()
    await moving.flush()
    await moving.later(9)
    assert await moving.state(machine) == "degraded"
    assert await moving.sweep() == []
    await moving.later(2)
    assert [claimed.machine for claimed in await moving.sweep()] == [machine]


async def test_a_node_that_loses_redis_again_and_again_keeps_nobody_online_for_ever(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    assert await moving.presence.drop(moving.workspace, machine, fence)
    for _ in range(3):
        await moving.excuse()
        await moving.later(5)
    assert [claimed.machine for claimed in await moving.sweep()] == [machine]


async def test_an_excuse_to_a_shard_that_forgot_everything_leaves_nothing_there(cluster: Cluster) -> None:
    """Silence proves nothing there anyway."""
    await cluster.excuse()
    assert not await cluster.redis.exists(cluster.keys.of(cluster.shard, "marker"))


async def test_a_redis_that_is_flushed_while_it_is_read_makes_nobody_offline(
    moving: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    original = ask_all

    async def flushed_in_between(*asked: Any) -> Any:
        answers = await original(*asked)
        await moving.redis.flushall()
        return answers

    monkeypatch.setattr(readout, "ask_all", flushed_in_between)
    assert await moving.state(machine) == "degraded"


async def test_a_short_absence_of_redis_does_not_cut_a_long_one_short(moving: Cluster) -> None:
    await moving.settle()
    assert moving.valkey is not None
    moving.valkey.forward(16)
    await moving.flush()
    moving.valkey.forward(8)
    await moving.flush()
    await moving.later(20)
    assert not await _is_settled(moving)
    await moving.later(3)
    assert await _is_settled(moving)


async def _is_settled(cluster: Cluster) -> bool:
    return (await cluster.presence.read(cluster.workspace, [])).settled


async def test_a_marker_from_the_future_is_not_believed(cluster: Cluster) -> None:
    """A new primary whose clock is behind the old one's."""
    await cluster.settle()
    marker = cluster.keys.of(cluster.shard, "marker")
    ahead = int(await ask(cluster.redis, "HGET", marker, "flushed")) + 3_600_000
    await cluster.redis.hset(marker, "flushed", str(ahead))
    assert not (await cluster.presence.read(cluster.workspace, [])).settled
    assert await cluster.sweep() == []
    await cluster.flush()
    assert not (await cluster.presence.read(cluster.workspace, [])).settled


async def test_a_clock_that_was_set_back_is_healed_by_the_next_flush(cluster: Cluster) -> None:
    """Deadlines that the old clock wrote do not keep a machine online for hours."""
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    deadlines = cluster.keys.of(cluster.shard, "deadlines")
    honest = float(await ask(cluster.redis, "ZSCORE", deadlines, machine))
    await cluster.redis.zadd(deadlines, {machine: honest + 3_600_000})
    await cluster.flush((machine, fence))
    assert abs(await ask(cluster.redis, "ZSCORE", deadlines, machine) - honest) < 5_000


async def test_a_flush_with_no_beats_marks_every_shard(cluster: Cluster) -> None:
    await cluster.flush()
    for shard in cluster.keys.shards:
        assert await cluster.redis.hget(cluster.keys.of(shard, "marker"), "by") == NODE


async def test_a_goodbye_counts_in_an_unsettled_shard_and_sql_is_told_later(moving: Cluster) -> None:
    await moving.revocations.load(moving.shard, [], 0)
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.presence.goodbye(moving.workspace, machine, fence)
    assert await moving.state(machine) == "offline"
    assert await moving.tell() == []
    await moving.later(40)
    assert [claimed.reason for claimed in await moving.tell()] == ["closed"]


async def test_a_machine_that_never_came_back_after_a_flush_is_found_absent_once_settled(moving: Cluster) -> None:
    await moving.settle()
    machine, present = machine_id(), machine_id()
    await moving.welcome(machine)
    fence = await moving.welcome(present)
    await moving.redis.flushall()
    await moving.revocations.load(moving.shard, [], 0)
    await moving.flush()
    await moving.reannounce((present, fence))
    both = [(moving.workspace, machine), (moving.workspace, present)]
    assert await moving.claims.absent(both) == []
    await moving.later(31, (present, fence))
    assert await moving.claims.absent(both) == [(moving.workspace, machine)]
