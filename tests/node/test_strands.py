"""Shows that work which waits for a server of Redis that is away holds up nothing that is on others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import pytest_asyncio

from relay.errors import Unavailable
from relay.node.strands import Strands
from tests.node.two_nodes import WAIT_SECONDS

AWAY, HERE = 0, 1  # shards: names of work in the first begin with "away"


class Bench:
    """Strands of two shards, and what was done of what they were given."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tried: list[str] = []
        self.answer: Callable[[str], Exception | None] = lambda item: None
        self.thaw = asyncio.Event()
        self.thaw.set()
        self.changed = asyncio.Event()

    async def work(self, item: str) -> None:
        """What is away hangs or fails."""
        self.tried.append(item)
        self.changed.set()
        if item.startswith("away"):
            await self.thaw.wait()
            if error := self.answer(item):
                raise error
        self.done.append(item)
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what is to happen."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await self.changed.wait()
                self.changed.clear()

    def strands(self, again_seconds: float | None = 0.0) -> Strands[str]:
        """Not running yet."""
        return Strands(
            "work",
            lambda item: AWAY if item.startswith("away") else HERE,
            self.work,
            gather_seconds=0.0,
            again_seconds=again_seconds,
        )


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """Everything answers."""
    yield Bench()


async def run(strands: Strands[str], bench: Bench, until: Callable[[], bool]) -> None:
    """Let them work until something holds."""
    running = asyncio.create_task(strands.run())
    try:
        await bench.until(until)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_what_hangs_holds_up_its_own_shard_alone(bench: Bench) -> None:
    bench.thaw.clear()
    strands = bench.strands()
    for item in ("away 1", "away 2", "here 1", "here 2"):
        strands.add(item)
    await run(strands, bench, lambda: bench.done == ["here 1", "here 2"])
    assert bench.tried.count("away 1") == 1
    assert "away 2" not in bench.tried


async def test_what_fails_is_done_again_and_keeps_nothing_of_its_shard_waiting(bench: Bench) -> None:
    bench.answer = lambda item: Unavailable("away") if bench.tried.count("away 1") < 3 and item == "away 1" else None
    strands = bench.strands()
    for item in ("away 1", "away 2"):
        strands.add(item)
    await run(strands, bench, lambda: len(bench.done) == 2)
    assert bench.done == ["away 2", "away 1"]
    assert bench.tried == ["away 1", "away 2", "away 1", "away 1"]


async def test_where_nobody_wants_it_again_what_failed_is_left(bench: Bench) -> None:
    bench.answer = lambda item: Unavailable("away")
    strands = bench.strands(again_seconds=None)
    strands.add("away 1")
    strands.add("away 2")
    await run(strands, bench, lambda: len(bench.tried) == 2)
    strands.add("here")
    await run(strands, bench, lambda: bench.done == ["here"])
    assert bench.tried == ["away 1", "away 2", "here"]


@pytest.mark.parametrize("again_seconds", [0.0, None])
async def test_what_is_added_while_it_is_done_is_done_once_more(bench: Bench, again_seconds: float | None) -> None:
    bench.thaw.clear()
    strands = bench.strands(again_seconds)
    running = asyncio.create_task(strands.run())
    strands.add("away")
    await bench.until(lambda: bench.tried == ["away"])
    for _ in range(3):
        strands.add("away")
    bench.thaw.set()
    await bench.until(lambda: bench.done == ["away", "away"])
    running.cancel()
    await asyncio.wait([running])


async def test_a_mistake_of_ours_about_one_takes_nothing_from_the_others(bench: Bench) -> None:
    bench.answer = lambda item: msgspec.DecodeError("what is this?") if item == "away 1" else None
    strands = bench.strands(again_seconds=None)
    for item in ("away 1", "away 2", "here"):
        strands.add(item)
    await run(strands, bench, lambda: sorted(bench.done) == ["away 2", "here"])
