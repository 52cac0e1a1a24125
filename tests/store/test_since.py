"""Shows that a reader who knows a version is told whom to read again, or that nobody kept count."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.rules.presence import Info
from tests.store.cluster import Cluster, machine_id


async def test_only_those_who_rang_since_a_version_are_named(cluster: Cluster) -> None:
    await cluster.settle()
    fences = {machine: await cluster.welcome(machine) for machine in (machine_id() for _ in range(3))}
    version = (await cluster.presence.read(cluster.workspace)).version
    quiet, dropped, told = fences
    await cluster.flush((quiet, fences[quiet]))
    nothing = await cluster.presence.since(cluster.workspace, version)
    assert (nothing.version, nothing.rung, nothing.settled) == (version, [], True)
    await cluster.presence.drop(cluster.workspace, dropped, fences[dropped])
    await cluster.presence.describe(cluster.workspace, told, fences[told], Info(pid=2))
    since = await cluster.presence.since(cluster.workspace, version)
    assert since.rung is not None
    assert set(since.rung) == {dropped, told}
    assert (await cluster.presence.since(cluster.workspace, since.version)).rung == []


async def test_a_machine_that_was_forgotten_is_named(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    await cluster.welcome(machine)
    version = (await cluster.presence.read(cluster.workspace)).version
    await cluster.presence.forget(cluster.workspace, machine)
    assert (await cluster.presence.since(cluster.workspace, version)).rung == [machine]


async def test_who_rang_is_kept_for_a_minute_and_nobody_counts_beyond_it(moving: Cluster) -> None:
    await moving.settle()
    first, second = machine_id(), machine_id()
    fence = await moving.welcome(first)
    version = (await moving.presence.read(moving.workspace)).version
    await moving.later(55, (first, fence))
    await moving.welcome(second)
    assert (await moving.presence.since(moving.workspace, version)).rung == [second]
    await moving.later(10, (first, fence))
    await moving.presence.ring(moving.workspace, [second])
    assert (await moving.presence.since(moving.workspace, version)).rung is None
    assert await moving.redis.zrange(moving.keys.of(moving.shard, "rung"), 0, -1) == [second]


async def test_when_more_rang_than_one_question_answers_all_are_to_be_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.readout.SCRIPT_IDS", 2)
    await cluster.settle()
    await cluster.welcome(machine_id())
    version = (await cluster.presence.read(cluster.workspace)).version
    for expected in (1, 2, None):
        await cluster.welcome(machine_id())
        rung = (await cluster.presence.since(cluster.workspace, version)).rung
        assert (None if rung is None else len(rung)) == expected


async def test_a_redis_that_forgot_everything_says_that_nobody_kept_count(cluster: Cluster) -> None:
    await cluster.settle()
    await cluster.welcome(machine_id())
    readout = await cluster.presence.read(cluster.workspace)
    await cluster.redis.flushall()
    assert (await cluster.presence.since(cluster.workspace, readout.version)).rung is None
    await cluster.flush()
    assert not (await cluster.presence.since(cluster.workspace, readout.version)).settled


async def test_beats_move_times_and_a_drop_is_none(moving: Cluster) -> None:
    await moving.settle()
    fences = {machine: await moving.welcome(machine) for machine in (machine_id() for _ in range(3))}
    beating, silent, dropped = fences
    before = (await moving.presence.read(moving.workspace, list(fences))).records
    await moving.later(5, (beating, fences[beating]))
    await moving.presence.drop(moving.workspace, dropped, fences[dropped])
    heard = await moving.presence.beats(moving.workspace, list(before.values()))
    assert heard == [await moving.record(beating)]
    assert heard[0].heard_ms > before[beating].heard_ms
    assert (await moving.record(silent)) == before[silent]


async def test_rings_of_other_workspaces_in_the_shard_hide_nothing(cluster: Cluster) -> None:
    await cluster.settle()
    machine, mine = machine_id(), cluster.workspace
    fence = await cluster.welcome(machine)
    version = (await cluster.presence.read(mine)).version
    shard = cluster.shard
    while (other := str(uuid4())) and cluster.keys.shard(other) != shard:
        pass
    cluster.enter(other)
    await cluster.welcome(machine_id())
    assert (await cluster.presence.since(mine, version)).rung == []
    await cluster.presence.drop(mine, machine, fence)
    rung = (await cluster.presence.since(mine, version)).rung
    assert rung is not None
    assert machine in rung
