"""Checks that a machine belongs to one connection at a time, and that only its owner moves its presence."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.rules.presence import Fence
from relay.store import Admitted, Keys, Lost, Refused
from tests.store.cluster import NODE, OTHER_NODE, Cluster, machine_id


async def test_a_hello_takes_the_machine_and_a_reader_sees_it_live(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    record = await cluster.record(machine)
    assert (record.fence, record.node, record.connected, record.reason) == (fence, NODE, True, None)
    assert await cluster.state(machine) == "live"


async def test_of_hellos_at_once_exactly_one_owns_the_machine_and_each_other_is_somebodys_previous(
    cluster: Cluster,
) -> None:
    await cluster.settle()
    machine = machine_id()
    known = 0
    answers: list[Admitted] = []
    for _ in range(5):  # strangers may contest a machine three times; the same agent may reconnect for ever
        pair = await asyncio.gather(
            cluster.hello(machine, NODE, known_generation=known), cluster.hello(machine, OTHER_NODE)
        )
        answers += [answer for answer in pair if isinstance(answer, Admitted)]
        known = max(answer.fence.generation for answer in answers)
    owner = (await cluster.record(machine)).fence
    assert owner == max(answer.fence for answer in answers)
    assert len({answer.fence.generation for answer in answers}) == len(answers)
    replaced = {answer.previous_connection for answer in answers} - {None}
    assert replaced == {answer.fence.connection for answer in answers} - {owner.connection}


async def test_hellos_that_come_together_are_each_answered_as_if_they_were_alone(cluster: Cluster) -> None:
    await cluster.settle()
    taken, contested, revoked, fresh = [machine_id() for _ in range(4)]
    newest = await cluster.welcome(taken, token_version=2)
    held = await cluster.welcome(contested)
    await cluster.revoke(revoked)
    asked = [cluster.announcement(machine) for machine in (taken, contested, revoked, fresh, fresh)]
    replaced, newcomer, refused, first, second = await cluster.presence.announce_all(cluster.shard, asked)
    assert (replaced, refused) == (Refused("replaced", newest), Refused("revoked"))
    assert isinstance(newcomer, Admitted)
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert newcomer.previous_connection == held.connection
    assert first.previous_connection is None
    assert second.previous_connection == first.fence.connection
    assert second.fence.generation > first.fence.generation
    assert (await cluster.record(fresh)).fence == second.fence


async def test_the_newcomer_learns_whom_it_replaced_and_where_that_one_is(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    first = await cluster.welcome(machine, NODE)
    second = await cluster.hello(machine, OTHER_NODE, known_generation=first.generation)
    assert isinstance(second, Admitted)
    assert (second.previous_node, second.previous_connection) == (NODE, first.connection)
    assert (second.previous_token_version, second.previous_generation) == (1, first.generation)
    assert second.previous_connected


async def test_a_beat_on_the_older_connection_is_told_by_whom_it_was_replaced_and_moves_nothing(
    cluster: Cluster,
) -> None:
    await cluster.settle()
    machine = machine_id()
    older = await cluster.welcome(machine)
    newer = await cluster.welcome(machine, OTHER_NODE, known_generation=older.generation)
    before = await cluster.record(machine)
    assert await cluster.flush((machine, older)) == [Lost(cluster.workspace, machine, "replaced", newer)]
    assert await cluster.reannounce((machine, older)) == [Lost(cluster.workspace, machine, "replaced", newer)]
    assert await cluster.record(machine) == before


async def test_an_equal_generation_of_another_connection_is_told_replaced(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    twin = fence._replace(connection="twin")
    assert await cluster.flush((machine, twin)) == [Lost(cluster.workspace, machine, "replaced", fence)]
    assert await cluster.reannounce((machine, twin)) == [Lost(cluster.workspace, machine, "replaced", fence)]


async def test_a_stale_disconnect_does_not_touch_a_machine_that_has_moved(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    older = await cluster.welcome(machine)
    newer = await cluster.welcome(machine, OTHER_NODE, known_generation=older.generation)
    assert not await cluster.presence.drop(cluster.workspace, machine, older)
    assert not await cluster.presence.goodbye(cluster.workspace, machine, older)
    record = await cluster.record(machine)
    assert (record.fence, record.connected, await cluster.state(machine)) == (newer, True, "live")


async def test_a_lower_token_version_is_refused_and_told_who_has_the_machine(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine, token_version=2)
    assert await cluster.hello(machine, token_version=1) == Refused("replaced", fence)
    assert (await cluster.record(machine)).fence == fence


async def test_a_greater_token_version_beats_any_generation(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    older = await cluster.welcome(machine, token_version=1)
    newer = await cluster.welcome(machine, token_version=2)
    assert await cluster.flush((machine, older._replace(generation=older.generation + 10_000))) == [
        Lost(cluster.workspace, machine, "replaced", newer)
    ]


async def test_a_hello_that_redis_takes_twice_because_its_answer_was_lost_owns_the_machine_and_says_so(
    cluster: Cluster,
) -> None:
    """Whom it replaced is forgotten by then, so that nobody must be left out when they are told."""
    await cluster.settle()
    machine = machine_id()
    await cluster.welcome(machine, OTHER_NODE)
    first, second = [await cluster.hello(machine, connection="one") for _ in range(2)]
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert (first.again, first.previous_node) == (False, OTHER_NODE)
    assert (second.again, second.previous_node) == (True, None)
    assert (await cluster.record(machine)).fence == second.fence


async def test_a_generation_is_never_given_out_twice_although_redis_forgot(cluster: Cluster) -> None:
    """Redis's clock and the agent's own memory each suffice."""
    await cluster.settle()
    machine = machine_id()
    first = await cluster.welcome(machine)
    ahead = first.generation + 60_000
    await cluster.redis.flushall()
    await cluster.settle()
    assert (await cluster.welcome(machine)).generation > first.generation
    assert (await cluster.welcome(machine, known_generation=ahead)).generation > ahead


async def test_a_generation_more_than_an_hour_ahead_is_not_believed(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine, known_generation=2**52)
    assert fence.generation < 2**52


async def test_generations_keep_all_their_digits(cluster: Cluster) -> None:
    """Lua's tostring would write 1.7638e+12 and hand the same generation out for months."""
    await cluster.settle()
    machine = machine_id()
    first = await cluster.welcome(machine)
    second = await cluster.welcome(machine, known_generation=first.generation)
    assert second.generation - first.generation < 60_000
    assert second.generation > first.generation > 1_600_000_000_000


async def test_strangers_that_contest_a_machine_wait_after_the_third_change_of_owner(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    await cluster.welcome(machine)
    for _ in range(3):
        await cluster.welcome(machine, OTHER_NODE)
    assert await cluster.hello(machine) == Refused("rate-limited")


async def test_one_agent_that_says_hello_again_and_again_and_hears_nothing_is_one_stranger(cluster: Cluster) -> None:
    """Redis stood still: it takes all hellos at once when it goes on, and then the one whose agent still waits."""
    await cluster.settle()
    machine = machine_id()
    owner = await cluster.welcome(machine)
    for _ in range(6):
        await cluster.welcome(machine, OTHER_NODE, known_generation=owner.generation)
    strangers = [await cluster.hello(machine, known_generation=known) for known in (1, 2, 3)]
    assert [isinstance(answer, Admitted) for answer in strangers] == [True, True, False]


async def test_two_agents_of_one_identity_are_told_apart_by_what_each_was_told(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    known = {"one": (await cluster.welcome(machine)).generation, "two": 1}
    outcomes = []
    for name in ("two", "one") * 2:
        answer = await cluster.hello(machine, known_generation=known[name])
        outcomes.append(isinstance(answer, Admitted))
        if isinstance(answer, Admitted):
            known[name] = answer.fence.generation
    assert outcomes == [True, True, True, False]


async def test_an_agent_that_moves_with_its_generation_contests_nothing(cluster: Cluster) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    for _ in range(10):
        fence = await cluster.welcome(machine, OTHER_NODE, known_generation=fence.generation)


async def test_a_contest_is_forgotten_after_five_minutes(moving: Cluster) -> None:
    await moving.settle()
    machine = machine_id()
    await moving.welcome(machine)
    for _ in range(3):
        await moving.welcome(machine, OTHER_NODE)
    assert await moving.hello(machine) == Refused("rate-limited")
    await moving.later(301, (machine, (await moving.record(machine)).fence))
    await moving.welcome(machine)


async def test_another_description_needs_the_fence(cluster: Cluster) -> None:
    from relay.rules.presence import Info

    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    info = Info(pid=7, sessions=2, version="2", hostname="h")
    assert await cluster.presence.describe(cluster.workspace, machine, fence, info)
    stale = fence._replace(generation=fence.generation - 1)
    assert not await cluster.presence.describe(cluster.workspace, machine, stale, Info())
    assert (await cluster.record(machine)).info == info


async def test_a_reader_remembers_what_it_parsed_within_its_limit(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.readout.REMEMBERED", 10)
    reader = cluster.presence._reader
    for _ in range(4):
        cluster.enter(str(uuid4()))
        await cluster.settle()
        machines = {machine_id() for _ in range(8)}
        for machine in machines:
            await cluster.welcome(machine)
        assert (await cluster.presence.read(cluster.workspace)).records.keys() == machines
        assert len(reader._parsed) <= 10 + len(machines)


async def test_a_failover_that_rolled_redis_back_is_healed_by_the_next_beat(cluster: Cluster) -> None:
    """The new primary still holds an older owner: the greater fence is asked to re-announce, and adopts."""
    await cluster.settle()
    machine = machine_id()
    older = await cluster.welcome(machine)
    current = Fence(1, older.generation + 5, "current")
    assert await cluster.flush((machine, current)) == [Lost(cluster.workspace, machine, "unknown", current)]
    assert await cluster.reannounce((machine, current)) == []
    assert await cluster.flush((machine, current)) == []
    assert (await cluster.record(machine)).fence == current


async def test_machines_of_two_workspaces_in_one_shard_stay_apart(cluster: Cluster, keys: Keys) -> None:
    await cluster.settle()
    mine, theirs = machine_id(), machine_id()
    await cluster.welcome(mine)
    neighbour = Cluster(cluster.redis, keys)
    while neighbour.shard != cluster.shard:
        neighbour = Cluster(cluster.redis, keys)
    await neighbour.welcome(theirs)
    assert list((await cluster.presence.read(cluster.workspace)).records) == [mine]
    assert list((await neighbour.presence.read(neighbour.workspace)).records) == [theirs]
