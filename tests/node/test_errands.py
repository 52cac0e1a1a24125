"""Shows that what connections leave to be done is done, or cancelled, and that one failure is nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from relay.node.errands import Errands


async def forever(began: list[str], name: str = "") -> None:
    """Something that ends only by being cancelled."""
    began.append(name)
    await asyncio.get_running_loop().create_future()


async def fail(error: Exception) -> None:
    """Something that goes wrong."""
    raise error


async def test_one_that_fails_costs_the_others_nothing(errands: Errands) -> None:
    began: list[str] = []
    other = errands.start(forever(began))
    await asyncio.wait([errands.start(fail(ValueError("ours")))])
    assert began == [""]
    assert not other.done()
    again = errands.start(forever(began))
    await asyncio.sleep(0)
    assert not again.done()


async def test_whoever_asks_for_it_is_told_the_error(errands: Errands) -> None:
    errors: list[Exception] = []
    error = ValueError("ours")
    await asyncio.wait([errands.start(fail(error), errors.append)])
    assert errors == [error]


async def test_one_may_wait_until_nothing_is_under_way(errands: Errands) -> None:
    await errands.finished()
    tasks = [errands.start(forever([])) for _ in range(2)]
    waiting = asyncio.ensure_future(errands.finished())
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert not waiting.done()
    tasks[1].cancel()
    await waiting


async def test_one_that_is_cancelled_before_it_began_is_put_away_quietly(errands: Errands) -> None:
    """Python would complain, in the log of a node, that nobody awaited it; here that fails the test."""
    began: list[str] = []
    errands.start(forever(began)).cancel()
    await errands.finished()
    assert began == []


async def test_those_that_are_left_are_cancelled_at_the_end() -> None:
    errands = Errands()
    running = asyncio.create_task(errands.run())
    await asyncio.sleep(0)
    left = errands.start(forever([]))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert left.cancelled()
    await errands.finished()


async def test_one_that_comes_after_the_end_is_an_error_and_nobody_waits_for_it() -> None:
    errands = Errands()
    running = asyncio.create_task(errands.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    began: list[str] = []
    with pytest.raises(RuntimeError):
        errands.start(forever(began))
    async with asyncio.timeout(1):
        await errands.finished()
    assert began == []
