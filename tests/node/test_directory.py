"""Shows what a directory reads again, when, and that nobody waits for a reading that another one makes."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from relay.errors import NotFound, RegistryUnavailable
from relay.node.directory import LOADS_AT_ONCE
from relay.node.view import LOOK_SECONDS, PARTS
from tests.node.fleet import ONCE, Fleet
from tests.rules.samples import ACME, BOB, OTHER, number, person, registered

MACHINES = 600  # the six parts of so many are of about one size


@pytest.fixture
async def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A large workspace."""
    return Fleet(MACHINES, monkeypatch)


async def test_every_record_is_read_again_within_a_minute_and_no_list_reads_all(fleet: Fleet) -> None:
    await fleet.listed()
    assert fleet.read == [set(fleet.rows)]
    fleet.read.clear()
    for _ in range(PARTS):
        fleet.now += LOOK_SECONDS
        fleet.beat()
        await fleet.listed()
    assert max(len(machines) for machines in fleet.read) < MACHINES / 3
    assert sum(len(machines) for machines in fleet.read) == MACHINES
    assert set.union(*fleet.read) == set(fleet.rows)


async def test_lists_between_two_looks_read_nobody(fleet: Fleet) -> None:
    await fleet.listed()
    fleet.read.clear()
    fleet.now += LOOK_SECONDS - 0.1
    await fleet.listed()
    fleet.now += LOOK_SECONDS
    await fleet.listed()
    assert len(fleet.read) == 1


@pytest.mark.parametrize("seconds", [0.9, 4.0, 7.0, 10.0, 13.0, 25.0, 50.0, 59.0, 61.0, 3_600.0])
async def test_however_often_lists_are_asked_for_a_redis_that_went_back_shows_within_a_minute(
    fleet: Fleet, seconds: float
) -> None:
    """It rings no bell, and goes on being told of beats."""
    await fleet.listed()
    fleet.now += 7.0
    fleet.go_back()
    began = fleet.now
    while fleet.now - began < LOOK_SECONDS * PARTS:
        fleet.now += seconds
        fleet.beat()
        records = await fleet.listed()
    assert all(record.info == ONCE for record in records.values())


async def test_a_look_shows_when_each_machine_was_last_heard(fleet: Fleet) -> None:
    await fleet.listed()
    fleet.now += LOOK_SECONDS
    fleet.beat()
    assert {record.heard_ms for record in (await fleet.listed()).values()} == {fleet.now_ms()}


async def test_who_rang_shows_at_once(fleet: Fleet) -> None:
    await fleet.listed()
    fleet.drop(number(5))
    assert (await fleet.listed())[number(5)].connected is False
    assert fleet.read[1:] == [{number(5)}]


async def test_once_silence_is_trusted_again_everything_is_read_though_one_machine_was_before(fleet: Fleet) -> None:
    await fleet.listed()
    fleet.settled = False
    await fleet.listed()
    assert fleet.read[1:] == [set(fleet.rows)]
    fleet.settled = True
    await fleet.directory.find(person("owner"), number(1))
    await fleet.listed()
    assert fleet.read[2:] == [{number(1)}, set(fleet.rows)]


async def test_who_was_offline_before_redis_lost_its_memory_is_not_shown_as_there_again(fleet: Fleet) -> None:
    """That sweepers told the registry is no change of access, so rows in memory lack it."""
    await fleet.listed()
    fleet.rows[number(1)] = msgspec.structs.replace(fleet.rows[number(1)], offline_reason="silent")
    fleet.records.clear()
    fleet.settled = False
    view = await fleet.directory.machines(ACME)
    owner = person("owner")
    states = [fleet.directory.describe(owner, view, number(n)) for n in (0, 1)]
    assert [machine and machine.state for machine in states] == ["degraded", "offline"]
    assert fleet.rows_read == 1


async def test_a_flush_that_came_late_costs_the_rows_that_changed_and_no_others(fleet: Fleet) -> None:
    """Silence is believed no more, and only the registry knows who was offline before; it is asked once for ids."""
    await fleet.listed()
    left = {number(1), number(7)}
    fleet.rows |= {id: msgspec.structs.replace(fleet.rows[id], offline_reason="silent") for id in left}
    fleet.settled = False
    for _ in range(3):
        await fleet.listed()
    assert (fleet.rows_read, fleet.rows_again) == (1, left)
    fleet.records.pop(number(2))
    fleet.rows[number(2)] = msgspec.structs.replace(fleet.rows[number(2)], offline_reason="silent")
    await fleet.directory.refresh(ACME, await fleet.directory.lately(ACME))
    assert (fleet.rows_read, fleet.rows_again) == (1, left | {number(2)})


async def test_who_came_back_before_redis_lost_its_memory_is_not_shown_as_offline(fleet: Fleet) -> None:
    """That a sweeper took its word back is no change of access either."""
    back = fleet.rows[number(1)]
    fleet.rows[number(1)] = msgspec.structs.replace(back, offline_reason="silent")
    await fleet.listed()
    fleet.rows[number(1)] = back
    fleet.records.clear()
    fleet.settled = False
    view = await fleet.directory.machines(ACME)
    found = fleet.directory.describe(person("owner"), view, number(1))
    assert found is not None
    assert found.state == "degraded"


@pytest.mark.parametrize("settled", [True, False])
async def test_who_connected_for_the_first_time_is_not_shown_as_offline_when_redis_lost_its_memory(
    fleet: Fleet, settled: bool
) -> None:
    """Its first hello is no change of access, so rows in memory say that it never was there; and the memory may have
    been lost before, so that silence has not been trusted since."""
    fleet.settled = settled
    now = fleet.rows[number(1)]
    fleet.rows[number(1)] = msgspec.structs.replace(now, last_seen_ms=None)
    await fleet.listed()
    fleet.rows[number(1)] = now
    fleet.records.clear()
    fleet.settled = False
    view = await fleet.directory.lately(ACME)
    await fleet.directory.refresh(ACME, view)
    found = fleet.directory.describe(person("owner"), view, number(1))
    assert found is not None
    assert found.state == "degraded"


async def test_two_who_ask_at_once_share_one_reading(fleet: Fleet) -> None:
    lists = [fleet.directory.machines(ACME), fleet.directory.lately(ACME), fleet.directory.machines(ACME)]
    rows = [fleet.directory.row(ACME, number(n)) for n in range(3)]
    first, *others = await asyncio.gather(*lists)
    assert [row.name for row in await asyncio.gather(*rows)] == ["box-0", "box-1", "box-2"]
    assert all(view is first for view in others)
    assert fleet.rows_read == 1
    assert fleet.read == [set(fleet.rows)]


async def test_one_machine_of_a_team_that_nobody_has_listed_costs_one_row(fleet: Fleet) -> None:
    """Whether it is there or not, and whoever may see it: what is looked at tells nothing."""
    found = await fleet.directory.registered(person("owner"), number(1))
    assert found.name == "box-1"
    with pytest.raises(NotFound):
        await fleet.directory.registered(person("owner"), number(MACHINES))
    fleet.rows[number(2)] = registered(id=number(2), visibility="PRIVATE", owner=BOB)
    with pytest.raises(NotFound):
        await fleet.directory.registered(person("owner"), number(2))
    assert (fleet.rows_read, fleet.row_looks) == (0, 3)
    await fleet.listed()
    for asked in (number(2), number(MACHINES)):
        with pytest.raises(NotFound):
            await fleet.directory.registered(person("owner"), asked)
    assert (fleet.rows_read, fleet.row_looks) == (1, 3), "all is known from memory"


async def test_a_thousand_who_wait_for_one_reading_share_its_failure_and_the_next_who_asks_reads_again(
    fleet: Fleet,
) -> None:
    fleet.registry_away = True
    with pytest.raises(RegistryUnavailable):  # as the tail sees every two seconds
        await fleet.tail.look()
    asking = [fleet.directory.row(f"team-{n % 50}", number(n % MACHINES)) for n in range(1_000)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RegistryUnavailable}
    assert fleet.rows_read <= LOADS_AT_ONCE
    fleet.registry_away = False
    assert (await fleet.directory.row(ACME, number(1))).name == "box-1"


async def test_a_thousand_who_wait_for_one_unreadable_workspace_share_its_failure(fleet: Fleet) -> None:
    fleet.unreadable = {"bad"}
    asking = [fleet.directory.row("bad", number(n % MACHINES)) for n in range(1_000)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RegistryUnavailable}
    assert fleet.rows_read == 1


async def test_a_workspace_that_cannot_be_read_fails_nobody_who_waits_for_another(fleet: Fleet) -> None:
    """Neither those whose workspace is being read meanwhile, nor those who wait for their turn."""
    fleet.unreadable = {"bad"}
    fleet.may_read.clear()
    bad = asyncio.create_task(fleet.directory.row("bad", number(1)))
    good = [asyncio.create_task(fleet.directory.row(f"good-{n % 6}", number(n))) for n in range(12)]
    with pytest.raises(RegistryUnavailable):
        await bad
    fleet.may_read.set()
    assert [row.name for row in await asyncio.gather(*good)] == [f"box-{n}" for n in range(12)]


async def test_a_node_that_is_asked_about_all_teams_at_once_reads_a_few_at_a_time(fleet: Fleet) -> None:
    await asyncio.gather(*(fleet.directory.row(f"team-{n}", number(1)) for n in range(50)))
    assert (fleet.rows_read, fleet.most_loading) == (50, LOADS_AT_ONCE)


async def test_an_asker_who_gives_up_leaves_the_reading_to_the_next(fleet: Fleet) -> None:
    asking = [asyncio.create_task(fleet.names()) for _ in range(2)]
    await fleet.reading_rows.wait()
    asking[0].cancel()
    assert len(await asking[1]) == MACHINES
    assert fleet.rows_read == 2


async def test_a_list_ends_however_fast_the_table_of_changes_grows(fleet: Fleet) -> None:
    async def grow() -> None:
        while True:
            fleet.change("member", "somebody", OTHER)
            fleet.rename(number(1), f"name-{len(fleet.table)}")
            await fleet.directory.lately(OTHER)
            await asyncio.sleep(0)

    growing = asyncio.create_task(grow())
    await asyncio.sleep(0)
    assert len(await fleet.names()) == MACHINES
    growing.cancel()


async def test_a_machine_that_changes_while_rows_are_read_shows_its_new_name(fleet: Fleet) -> None:
    await fleet.directory.lately(OTHER)

    def rename() -> None:
        fleet.while_rows_are_read = lambda: None
        fleet.rename(number(1), "a-new-name")

    fleet.while_rows_are_read = rename
    asking = [asyncio.create_task(fleet.names()) for _ in range(2)]
    await asking[0]
    assert (await fleet.names())[0] == "a-new-name"
    await asking[1]


async def test_a_change_of_everybody_while_rows_are_read_is_not_lost(fleet: Fleet) -> None:
    """Who asked before it may still get the old rows; nobody who asks after it does."""

    def rename_the_owner() -> None:
        fleet.while_rows_are_read = lambda: None
        fleet.rows = {id: fleet.rows[id] for id in list(fleet.rows)[:3]}
        fleet.change("member", "jane")

    fleet.while_rows_are_read = rename_the_owner
    early = asyncio.create_task(fleet.names())
    await fleet.reading_rows.wait()
    assert len(await fleet.names()) == 3
    assert len(await early) == MACHINES
    assert len(await fleet.names()) == 3
    assert fleet.rows_read == 2


async def test_a_list_stays_in_order_while_machines_come_change_and_go(fleet: Fleet) -> None:
    await fleet.names()
    for step in range(4):
        fleet.rename(number(10 + step), f"a-{step}")
        await fleet.directory.registered(person("owner"), number(10))  # which reads the new name, and orders nothing
        fleet.rename(number(10 + step), f"b-{step}")
        fleet.rename(number(20), ["zoo", "box-20", "aaa", "zoo"][step])
        del fleet.rows[number(30 + step)]
        fleet.change("machine-revoked", number(30 + step))
        new = number(MACHINES + step)
        fleet.rows[new] = registered(id=new, name=f"m-{step}")
        fleet.change("machine", new)
        assert await fleet.names() == sorted(row.name for row in fleet.rows.values())
