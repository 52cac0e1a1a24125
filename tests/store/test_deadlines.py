"""Checks when machines are offline, since when, why, and that it is announced exactly once."""

from __future__ import annotations

import asyncio

import pytest

from relay.rules.presence import OfflineReason
from relay.store import Bus, Lost
from relay.store.claims import CLAIMED_IDS
from tests.store.cluster import NODE, OTHER_NODE, Cluster, machine_id
from tests.store.listening import Listener, listening


async def _reasons(cluster: Cluster, *live: str) -> dict[str, OfflineReason | None]:
    return {claimed.machine: claimed.reason for claimed in await cluster.tell(*live)}


async def test_a_silent_machine_is_live_then_degraded_then_offline(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    await moving.tell()
    for seconds, band in ((29, "live"), (2, "degraded"), (58, "degraded"), (2, "offline")):
        await moving.later(seconds)
        assert await moving.state(machine) == band, seconds


async def test_silence_is_claimed_after_ninety_seconds_and_dated_by_the_deadline(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    await moving.tell()
    heard = (await moving.record(machine)).heard_ms
    await moving.later(89)
    assert await moving.tell(NODE) == []
    await moving.later(7)
    (claimed,) = await moving.sweep(NODE)
    assert (claimed.machine, claimed.reason) == (machine, "silent")
    assert claimed.offline_ms == heard + 90_000
    assert claimed.heard_ms == heard
    record = await moving.record(machine)
    assert (record.deadline_ms, record.reason, record.connected) == (heard + 90_000, "silent", False)


async def test_silence_whose_node_has_no_lease_is_the_nodes(moving: Cluster) -> None:
    await moving.settle()
    mine, lost = machine_id(), machine_id()
    await moving.welcome(mine, NODE)
    await moving.welcome(lost, OTHER_NODE)
    await moving.tell()
    await moving.later(91)
    assert await _reasons(moving, NODE) == {mine: "silent", lost: "node-lost"}


async def test_a_beating_machine_stays_live_for_ever(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    assert await moving.later(200, (machine, fence)) == []
    assert await moving.tell() == []
    assert await moving.state(machine) == "live"


async def test_the_age_that_a_node_sends_is_when_the_machine_was_heard(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    now = (await cluster.record(machine)).heard_ms
    await cluster.flush((machine, fence), age_ms=45_000)
    assert 0 <= (await cluster.record(machine)).heard_ms - (now - 45_000) < 5_000
    assert await cluster.state(machine) == "degraded"


async def test_a_dropped_socket_is_degraded_and_offline_ten_seconds_later(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    assert await moving.presence.drop(moving.workspace, machine, fence)
    record = await moving.record(machine)
    assert (record.connected, record.reason) == (False, None)
    assert await moving.state(machine) == "degraded"
    await moving.later(9)
    assert await moving.tell() == []
    await moving.later(2)
    assert await moving.state(machine) == "offline"  # every reader sees it before any sweep
    assert await _reasons(moving) == {machine: "dropped"}


async def test_a_drop_never_puts_a_deadline_off(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.later(85)
    deadline = (await moving.record(machine)).deadline_ms
    assert await moving.presence.drop(moving.workspace, machine, fence)
    assert await moving.presence.drop(moving.workspace, machine, fence)
    assert (await moving.record(machine)).deadline_ms == deadline


async def test_a_socket_drops_once(moving: Cluster) -> None:
    """A node that tells it twice moves neither the deadline nor when the machine was heard."""
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    assert await moving.presence.drop(moving.workspace, machine, fence, age_ms=3_000)
    record = await moving.record(machine)
    await moving.later(5)
    assert await moving.presence.drop(moving.workspace, machine, fence)
    assert await moving.record(machine) == record


async def test_a_hello_that_nobody_waits_for_is_a_dropped_socket_and_somebody_elses_is_not(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    assert not await moving.presence.abandon(moving.workspace, machine, "another")
    assert (await moving.record(machine)).connected
    assert await moving.presence.abandon(moving.workspace, machine, fence.connection)
    assert not (await moving.record(machine)).connected
    await moving.later(11)
    assert await _reasons(moving) == {machine: "dropped"}


async def test_a_machine_that_returns_within_its_grace_never_was_offline(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    await moving.presence.drop(moving.workspace, machine, fence)
    await moving.later(5)
    back = await moving.welcome(machine, OTHER_NODE, known_generation=fence.generation)
    await moving.later(20, (machine, back))
    assert await moving.tell() == []
    assert await moving.state(machine) == "live"


async def test_a_goodbye_is_offline_at_once_and_no_late_beat_undoes_it(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    await cluster.tell()
    assert await cluster.presence.goodbye(cluster.workspace, machine, fence)
    assert await cluster.state(machine) == "offline"
    assert await cluster.flush((machine, fence)) == []
    assert await cluster.reannounce((machine, fence)) == []
    assert await cluster.state(machine) == "offline"
    assert await _reasons(cluster) == {machine: "closed"}


async def test_a_beat_after_a_drop_asks_the_node_whether_it_still_has_the_socket(cluster: Cluster) -> None:
    """A flush that was on its way does not undo a drop; a node that does hold the connection re-announces it."""
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    await cluster.presence.drop(cluster.workspace, machine, fence)
    assert await cluster.flush((machine, fence)) == [Lost(cluster.workspace, machine, "unknown", fence)]
    assert not (await cluster.record(machine)).connected
    assert await cluster.reannounce((machine, fence)) == []
    assert (await cluster.record(machine)).connected


async def test_a_late_beat_wins_over_the_sweeper(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    await moving.later(95)
    assert await _reasons(moving) == {machine: "node-lost"}
    assert await moving.flush((machine, fence), age_ms=200) == []
    assert await moving.state(machine) == "live"
    assert await moving.redis.zscore(moving.keys.of(moving.shard, "offline"), machine) is None
    assert await _reasons(moving) == {machine: None}  # SQL is told that it is back


async def test_a_beat_heard_too_long_ago_does_not_bring_a_machine_back(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.later(95)
    await moving.tell()
    before = await moving.record(machine), await moving.presence.version(moving.workspace)
    await moving.flush((machine, fence), age_ms=90_500)
    assert (await moving.record(machine), await moving.presence.version(moving.workspace)) == before


async def test_a_beat_between_claim_and_sql_makes_the_sweeper_tell_sql_again(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    fence = await moving.welcome(machine)
    await moving.tell()
    await moving.later(95)
    offline = await moving.sweep()
    await moving.flush((machine, fence))
    (back,) = await moving.sweep()  # another sweeper is quicker
    assert (back.machine, back.reason) == (machine, None)
    await moving.claims.confirm([back])
    await moving.claims.confirm(offline)  # and the slow one told SQL the older thing last
    assert await _reasons(moving) == {machine: None}
    assert await moving.tell() == []


async def test_two_sweepers_announce_a_machine_once(moving: Cluster) -> None:
    await moving.settle()
    machines = [machine_id() for _ in range(40)]
    for machine in machines:
        await moving.welcome(machine)
    await moving.tell()
    await moving.later(92)
    assert moving.valkey is not None
    async with listening(moving.valkey.url, moving.keys) as bus:
        heard = await listen_to(bus, moving)
        swept = await asyncio.gather(*(moving.tell() for _ in range(6)))
        assert sorted(claimed.machine for claims in swept for claimed in claims) == sorted(machines)
        await moving.presence.ring(moving.workspace, ["the end"])
        told = await heard.until(lambda seen: "the end" in seen)
    assert sorted(told) == sorted([*machines, "the end"])


async def test_a_sweeper_that_died_after_its_claim_is_replaced_after_ten_seconds(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    await moving.tell()
    await moving.later(92)
    assert [claimed.machine for claimed in await moving.sweep()] == [machine]  # and it dies here
    await moving.later(9)
    assert await moving.sweep() == []
    await moving.later(2)
    (claimed,) = await moving.tell()
    assert (claimed.machine, claimed.reason) == (machine, "node-lost")
    await moving.later(20)
    assert await moving.tell() == []


async def test_a_claim_takes_no_more_than_its_limit_and_the_next_takes_the_rest(moving: Cluster) -> None:
    await moving.settle()
    machines = {machine_id() for _ in range(25)}
    for machine in machines:
        await moving.welcome(machine)
    for _ in range(3):
        await moving.tell()
    await moving.later(92)
    swept = [await moving.sweep(limit=10)]
    assert await moving.redis.zcard(moving.keys.of(moving.shard, "offline")) == 10
    swept += [await moving.sweep(limit=10) for _ in range(3)]
    assert [len(claims) for claims in swept] == [10, 10, 5, 0]
    assert {claimed.machine for claims in swept for claimed in claims} == machines


async def test_many_machines_are_claimed_in_short_calls_so_that_redis_serves_others_between(moving: Cluster) -> None:
    await moving.settle()
    machines = {await moving.welcome(id) and id for id in (machine_id() for _ in range(2 * CLAIMED_IDS + 10))}
    await moving.tell()
    await moving.later(92)
    await moving.claims.look([moving.shard])
    for limit, calls in ((CLAIMED_IDS + 5, 2), (500, 2), (500, 1)):
        await moving.redis.config_resetstat()
        claimed = {each.machine for each in await moving.sweep(limit=limit)}
        assert len(claimed) == min(limit, len(machines))
        assert (await moving.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == calls
        machines -= claimed
    assert not machines


async def test_a_new_machine_and_one_that_came_back_are_told_to_sql_but_a_reconnect_is_not(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    assert await _reasons(cluster) == {machine: None}
    fence = await cluster.welcome(machine, OTHER_NODE, known_generation=fence.generation)
    assert await cluster.tell() == []
    await cluster.presence.goodbye(cluster.workspace, machine, fence)
    await cluster.welcome(machine, known_generation=fence.generation)
    assert await _reasons(cluster) == {machine: None}


async def test_machines_that_are_offline_for_two_days_are_forgotten(moving: Cluster) -> None:
    await moving.settle()
    gone, stays = machine_id(), machine_id()
    fence = await moving.welcome(gone)
    await moving.presence.goodbye(moving.workspace, gone, fence)
    await moving.tell()
    assert moving.valkey is not None
    for _ in range(3):
        moving.valkey.forward(80_000)
        await moving.flush()
        beating = await moving.welcome(stays, known_generation=0)
    await moving.flush((stays, beating))
    assert await moving.claims.retire([moving.shard], 500) == 1
    assert await moving.presence.locate(moving.workspace, gone) is None
    assert await moving.presence.locate(moving.workspace, stays) is not None


@pytest.mark.parametrize("what", ["hello", "drop", "goodbye", "describe", "forget", "sweep", "late beat"])
async def test_every_transition_rings_and_raises_the_version(moving: Cluster, what: str) -> None:
    await moving.settle()
    machine = machine_id()
    workspace = moving.workspace
    fence = await moving.welcome(machine)
    assert moving.valkey is not None
    if what in ("sweep", "late beat"):
        await moving.later(92)
    if what == "late beat":
        await moving.sweep()
    async with listening(moving.valkey.url, moving.keys) as bus:
        heard = await listen_to(bus, moving)
        before = await moving.presence.version(workspace)
        match what:
            case "hello":
                await moving.welcome(machine, known_generation=fence.generation)
            case "drop":
                await moving.presence.drop(workspace, machine, fence)
            case "goodbye":
                await moving.presence.goodbye(workspace, machine, fence)
            case "describe":
                await moving.presence.describe(workspace, machine, fence, (await moving.record(machine)).info)
            case "forget":
                await moving.presence.forget(workspace, machine)
            case "sweep":
                await moving.sweep()
            case "late beat":
                await moving.flush((machine, fence))
        assert await heard.until(lambda seen: len(seen) == 1) == [machine]
        assert await moving.presence.version(workspace) > before


async def test_a_version_is_never_given_out_twice_although_redis_forgot(cluster: Cluster) -> None:
    await cluster.settle()
    await cluster.welcome(machine_id())
    before = await cluster.presence.version(cluster.workspace)
    await cluster.redis.flushall()
    await cluster.settle()
    await cluster.welcome(machine_id())
    assert await cluster.presence.version(cluster.workspace) > before


async def listen_to(bus: Bus, cluster: Cluster) -> Listener:
    listener = Listener(cluster.workspace)
    bus.subscribe(cluster.keys.events(cluster.shard), listener.hear)
    await bus.confirmed(cluster.keys.events(cluster.shard))
    return listener
