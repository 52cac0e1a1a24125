"""Shows that everybody who is waited for has the same time, whoever else comes, leaves or fails."""

from __future__ import annotations

import asyncio

from relay.node.deadlines import Deadlines

SECONDS = 0.05
WAIT_SECONDS = 10.0  # a test that waits longer has found something


class Guest:
    """Somebody who notes that the time was over."""

    def __init__(self, late: asyncio.Queue[tuple[Guest, float]], fails: bool = False) -> None:
        self._late = late
        self._fails = fails

    def too_late(self) -> None:
        """See `Waited`."""
        self._late.put_nowait((self, asyncio.get_running_loop().time()))
        if self._fails:
            raise KeyError


async def test_those_who_do_not_come_in_time_are_told_in_order_and_nobody_else() -> None:
    late: asyncio.Queue[tuple[Guest, float]] = asyncio.Queue()
    deadlines: Deadlines[Guest] = Deadlines(SECONDS)
    guests = [Guest(late) for _ in range(5)]
    began = asyncio.get_running_loop().time()
    for guest in guests:
        deadlines.begin(guest)
    deadlines.end(guests[0])
    deadlines.end(guests[3])
    deadlines.end(guests[3])
    assert (len(deadlines), deadlines.oldest) == (3, guests[1])
    async with asyncio.timeout(WAIT_SECONDS):
        told = [await late.get() for _ in range(3)]
    assert [guest for guest, _ in told] == [guests[1], guests[2], guests[4]]
    assert all(at - began >= SECONDS for _, at in told)
    assert len(deadlines) == 0


async def test_who_is_waited_for_already_gets_no_more_time_and_who_comes_later_gets_all_of_it() -> None:
    late: asyncio.Queue[tuple[Guest, float]] = asyncio.Queue()
    deadlines: Deadlines[Guest] = Deadlines(SECONDS)
    first, second = Guest(late), Guest(late)
    deadlines.begin(first)
    await asyncio.sleep(SECONDS / 2)
    began = asyncio.get_running_loop().time()
    deadlines.begin(second)
    deadlines.begin(first)
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await late.get())[0] is first
        guest, at = await late.get()
    assert guest is second
    assert at - began >= SECONDS


async def test_one_who_fails_keeps_nobody_from_being_told() -> None:
    late: asyncio.Queue[tuple[Guest, float]] = asyncio.Queue()
    deadlines: Deadlines[Guest] = Deadlines(SECONDS)
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    deadlines.begin(Guest(late, fails=True))
    deadlines.begin(Guest(late))
    async with asyncio.timeout(WAIT_SECONDS):
        for _ in range(2):
            await late.get()
    assert isinstance(complaints[0]["exception"], KeyError)
    deadlines.begin(Guest(late))  # nobody was waited for any more, and that ends nothing
    async with asyncio.timeout(WAIT_SECONDS):
        await late.get()
