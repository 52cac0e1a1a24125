"""Says that changes are numbered without holes, visible in order, and one with what they tell."""

from __future__ import annotations

import asyncio

import pytest

from relay.errors import NameTaken
from relay.registry import Registry
from tests.registry.acme import Acme


async def test_a_tail_reads_on_from_where_it_was(acme: Acme) -> None:
    for name in ("a", "b", "c"):
        await acme.register(acme.jane, name)
    everything = await acme.registry.changes.since(0)
    assert [change.number for change in everything] == list(range(1, len(everything) + 1))
    assert await acme.registry.changes.latest() == everything[-1].number
    assert await acme.registry.changes.since(2, limit=2) == everything[2:4]
    assert await acme.registry.changes.since(everything[-1].number) == []


async def test_numbers_become_visible_in_order_while_many_write(url: str, acme: Acme) -> None:
    """A tail that polls during the storm never sees a number before one below it."""
    other = await Registry.open(url)
    seen: list[int] = []

    async def tail() -> None:
        while len(seen) < 40:
            seen.extend(change.number for change in await other.changes.since(seen[-1] if seen else 0))

    async def write(registry: Registry, index: int) -> None:
        await registry.workspaces.create(f"w-{index}", acme.owner.id, acme.as_jane, acme.now_ms)

    async with asyncio.TaskGroup() as group:
        group.create_task(tail())
        for index in range(20):  # two changes each
            group.create_task(write(other if index % 2 else acme.registry, index))
    assert seen == list(range(1, len(seen) + 1))
    await other.close()


async def test_a_refused_change_leaves_no_number_behind(acme: Acme) -> None:
    await acme.connect(acme.jane, "a")
    machine = await acme.connect(acme.jane, "b")
    before = await acme.registry.changes.latest()
    with pytest.raises(NameTaken):
        await acme.registry.machines.rename(machine.id, "a", acme.as_jane, acme.later())
    await acme.registry.machines.rename(machine.id, "c", acme.as_jane, acme.later())
    (change,) = await acme.registry.changes.since(before)
    assert change.number == before + 1


async def test_old_changes_are_forgotten_and_numbers_go_on(acme: Acme) -> None:
    before = await acme.registry.changes.latest()
    assert await acme.registry.changes.clean(acme.now_ms) == 0
    assert await acme.registry.changes.clean(acme.now_ms + 1) == before
    assert await acme.registry.changes.latest() == before
    await acme.register(acme.jane, "a")
    assert [change.number for change in await acme.registry.changes.since(0)] == [before + 1]
