"""Shows that what many do at once is spread over its window, and that haste leaves nothing out."""

from __future__ import annotations

import asyncio

from relay.node.pace import Pace, spread


def test_everything_has_its_own_slot_of_the_window() -> None:
    moments = [at for at, _thing in spread(range(100), 50.0)]
    assert all(place * 0.5 <= at < (place + 1) * 0.5 for place, at in enumerate(moments))
    assert sorted(thing for _, thing in spread(range(100), 50.0)) == list(range(100))
    assert spread([], 50.0) == []


async def test_steps_are_taken_in_the_order_of_their_moments() -> None:
    taken: list[str] = []
    await Pace().walk([(0.02, lambda: taken.append("second")), (0.0, lambda: taken.append("first"))])
    assert taken == ["first", "second"]


async def test_in_a_hurry_all_that_are_left_are_taken_at_once() -> None:
    pace, first, taken = Pace(), asyncio.Event(), []
    plan = [(0.0, first.set), *((3_600.0, lambda number=number: taken.append(number)) for number in range(1_000))]
    walking = asyncio.create_task(pace.walk(plan))
    await first.wait()
    assert taken == []
    pace.hurry()
    async with asyncio.timeout(10):
        await walking
    assert taken == list(range(1_000))
