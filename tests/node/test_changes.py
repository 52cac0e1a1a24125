"""Shows how a node reads the table of changes: whole, in order, together, and with a registry that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.errors import RegistryUnavailable
from relay.node.changes import AWAY_SECONDS, VOUCHED_SECONDS, Tail
from relay.registry import Change, Head


class Table:
    """The registry's table of changes, which may be away, and a tail of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[Change] = []
        self.cleaned = 0  # up to this number
        self.away = False
        self.looks = 0
        self.open = asyncio.Event()  # looks are answered while it is set
        self.open.set()
        self.now = 1_000.0
        self.heard: list[int] = []
        self.fresh_starts = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        self.tail = Tail(cast(Any, SimpleNamespace(changes=self)))
        self.tail.listen(lambda changes: self.heard.extend(change.number for change in changes), self._fresh_start)

    def _fresh_start(self) -> None:
        self.fresh_starts += 1

    def grow(self, *subjects: str) -> None:
        """Changes of these are committed."""
        for subject in subjects:
            number = self.rows[-1].number + 1 if self.rows else self.cleaned + 1
            self.rows.append(Change(number=number, kind="machine", workspace="acme", subject=subject, detail={}))

    async def head(self) -> Head:
        """What the tail asks first."""
        self.looks += 1
        await self.open.wait()
        if self.away:
            raise RegistryUnavailable("the registry does not answer")
        return Head(self.rows[-1].number, self.rows[-1].mark) if self.rows else Head(self.cleaned, None)

    async def since(self, number: int, limit: int) -> list[Change]:
        """And then."""
        return [row for row in self.rows if row.number > number][:limit]


@pytest.fixture
async def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """An empty table."""
    return Table(monkeypatch)


async def test_every_change_is_heard_once_and_in_order(table: Table) -> None:
    await table.tail.begin()
    table.grow("a", "b")
    await table.tail.catch_up()
    table.grow("c")
    await table.tail.catch_up()
    await table.tail.catch_up()
    assert (table.heard, table.fresh_starts, table.tail.number) == ([1, 2, 3], 0, 3)


async def test_a_crowd_that_asks_during_a_look_shares_the_next_one(table: Table) -> None:
    """Not the one under way: it may have begun before what they must see was committed."""
    table.open.clear()
    first = asyncio.create_task(table.tail.look())
    await asyncio.sleep(0)
    crowd = [asyncio.create_task(table.tail.look()) for _ in range(100)]
    await asyncio.sleep(0)
    table.open.set()
    await asyncio.gather(first, *crowd)
    assert table.looks == 2


async def test_who_leaves_in_the_middle_of_a_look_does_not_answer_for_those_who_wait_for_it(table: Table) -> None:
    """A browser that closes its socket cancels its question; others were about to share the answer."""
    table.open.clear()
    first, leaver, asker = [asyncio.create_task(table.tail.look()) for _ in range(3)]
    await asyncio.sleep(0)
    table.open.set()
    table.open.clear()  # this lets the first look end, and holds up the second
    await first
    table.grow("a")
    while table.looks < 2:  # noqa: ASYNC110 - it takes a few turns of the loop and no time
        await asyncio.sleep(0)
    leaver.cancel()
    table.open.set()
    await asker
    assert table.tail.number == 1


async def test_a_crowd_shares_one_timeout_and_whoever_comes_later_waits_for_none(table: Table) -> None:
    table.open.clear()
    table.away = True
    crowd = [asyncio.create_task(table.tail.catch_up()) for _ in range(100)]
    await asyncio.sleep(0)
    table.now += 4.5
    table.open.set()
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RegistryUnavailable}
    with pytest.raises(RegistryUnavailable):
        await table.tail.catch_up()
    assert table.looks == 1
    assert table.tail.away()


async def test_the_nodes_own_look_ends_an_outage_for_everybody(table: Table) -> None:
    table.away = True
    with pytest.raises(RegistryUnavailable):
        await table.tail.catch_up()
    table.away = False
    table.grow("a")
    table.now += 1
    with pytest.raises(RegistryUnavailable):
        await table.tail.catch_up()
    await table.tail.look()
    assert not table.tail.away()
    assert table.heard == [1]
    await table.tail.catch_up()


async def test_without_a_look_of_its_own_askers_find_out_themselves(table: Table) -> None:
    table.away = True
    with pytest.raises(RegistryUnavailable):
        await table.tail.catch_up()
    table.away = False
    table.now += AWAY_SECONDS
    await table.tail.catch_up()
    assert not table.tail.away()


async def test_what_was_read_is_vouched_for_until_a_bell_rings_or_too_much_time_passes(table: Table) -> None:
    await table.tail.look()
    table.away = True
    table.now += VOUCHED_SECONDS
    assert table.tail.vouched()
    table.now += 1
    assert not table.tail.vouched()
    table.away = False
    table.now += 1
    await table.tail.look()
    assert table.tail.vouched()
    table.now += 1
    table.tail.ring()
    assert not table.tail.vouched(), "somebody changed something that this node has not read"
    table.now += 1
    await table.tail.look()
    assert table.tail.vouched()


async def test_a_bell_that_tells_of_nothing_new_is_no_reason_to_doubt(table: Table) -> None:
    """Its own, for one, which comes back to the node that rang it."""
    table.grow("a", "b")
    await table.tail.look()
    table.now += 1
    table.tail.ring(table.tail.bell())
    assert table.tail.vouched()
    table.tail.ring(b"3")
    assert not table.tail.vouched()


async def test_a_table_that_was_cleaned_to_its_end_after_quiet_days_has_told_everything(table: Table) -> None:
    table.grow("a", "b")
    await table.tail.look()
    table.rows, table.cleaned = [], 2
    await table.tail.look()
    assert table.fresh_starts == 0
    table.grow("c")
    await table.tail.look()
    assert (table.heard, table.fresh_starts) == ([1, 2, 3], 0)


def _loses_two(table: Table) -> None:
    del table.rows[-2:]


def _gives_the_last_number_to_another(table: Table) -> None:
    table.rows.pop()
    table.grow("other")


def _gives_numbers_to_others_and_goes_on(table: Table) -> None:
    del table.rows[-2:]
    table.grow("other", "others", "more", "and more")


def _was_cleaned_meanwhile(table: Table) -> None:
    table.grow(*"defgh")
    del table.rows[:6]


@pytest.mark.parametrize(
    "loses",
    [_loses_two, _gives_the_last_number_to_another, _gives_numbers_to_others_and_goes_on, _was_cleaned_meanwhile],
)
async def test_a_registry_that_lost_its_newest_changes_is_read_anew(
    table: Table, loses: Callable[[Table], None]
) -> None:
    """A standby took over that had not heard of them: their numbers are given out again, to other changes."""
    table.grow("a", "b", "c")
    await table.tail.look()
    loses(table)
    await table.tail.look()
    assert table.fresh_starts == 1
    table.grow("next")
    await table.tail.look()
    assert table.heard[-1] == table.rows[-1].number == table.tail.number
    assert table.fresh_starts == 1
