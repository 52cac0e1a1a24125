"""Orders the processes about that play machines and people, and keeps what they tell each second."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

from loadtests.engine.generators import generators
from loadtests.engine.machine import Seat
from loadtests.engine.person import Chair

FIRST_SOURCE = 10  # of 127.0.0.x: the generators' addresses on this host, so that each has 28,000 ports of its own


class Second(NamedTuple):
    """What one process told of one second."""

    took: dict[str, list[tuple[int, int]]]
    counts: dict[str, Any]
    connected: dict[str, int]


class Used(NamedTuple):
    """What one process took so far."""

    cpu_seconds: float
    rss_max_bytes: int


class Parts(NamedTuple):
    """Who is to be played, and against whom."""

    urls: list[str]
    seats: Sequence[Seat]
    chairs: Sequence[Chair]
    removes: bool  # machines ask to be forgotten when they leave
    local: bool  # the relay is on this host


class Crowd:
    """All processes of the load. `failed` is told when one ends or cannot do as ordered."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self.seconds: dict[int, dict[int, Second]] = defaultdict(dict)  # by second, by process
        self.used: dict[int, Used] = {}  # by process
        self.on_second: Callable[[int], None] = lambda number: None
        self._processes = processes
        self._numbers = count(1)
        self._answers: dict[tuple[int, int], asyncio.Future[Any]] = {}
        self._ready = [asyncio.get_running_loop().create_future() for _ in processes]
        self._listening = [asyncio.create_task(self._listen(index)) for index in range(len(processes))]

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes]

    async def ready(self) -> None:
        """Wait until all have begun; raises `ChildProcessError`."""
        await asyncio.gather(*self._ready)

    def begin(self, began: float) -> None:
        """Count seconds from this moment of the monotonic clock on."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(began).encode() + b"\n")

    async def order(self, name: str, **told: Any) -> list[Any]:
        """Let all do this; their answers. Raises `ChildProcessError` if one cannot."""
        return await asyncio.gather(*(self._ordered(index, name, told) for index in range(len(self._processes))))

    async def shared(self, name: str, rate: float, **told: Any) -> list[Any]:
        """The same with a rate that they share."""
        return await self.order(name, rate=rate / len(self._processes), **told)

    async def _ordered(self, index: int, name: str, told: dict[str, Any]) -> Any:
        number = next(self._numbers)
        answer = self._answers[index, number] = asyncio.get_running_loop().create_future()
        stdin = self._processes[index].stdin
        assert stdin is not None
        if self._listening[index].done():
            raise ChildProcessError("a process of the load has ended")
        stdin.write(json.dumps({"id": number, "do": name, **told}).encode() + b"\n")
        return await answer

    async def _listen(self, index: int) -> None:
        stdout = self._processes[index].stdout
        assert stdout is not None
        while line := await stdout.readline():
            told = json.loads(line)
            if "second" in told:
                self.seconds[told["second"]][index] = Second(told["took"], told["counts"], told["connected"])
                self.used[index] = Used(told["cpu"], told["rss"])
                self.on_second(told["second"])
            elif "ready" in told:
                self._ready[index].set_result(None)
            elif "failed" in told:
                self._answer(index, told["id"]).set_exception(ChildProcessError(told["failed"]))
            else:
                self._answer(index, told["id"]).set_result(told["result"])
        ended = ChildProcessError("a process of the load has ended")
        for waiting in (self._ready[index], *(each for (who, _), each in self._answers.items() if who == index)):
            if not waiting.done():
                waiting.set_exception(ended)

    def _answer(self, index: int, number: int) -> asyncio.Future[Any]:
        """Who waits for this answer, or somebody in their place if they wait no more."""
        waiting = self._answers.pop((index, number))
        return asyncio.get_running_loop().create_future() if waiting.done() else waiting

    async def ended(self) -> None:
        """Hear what the processes said last, once they have ended."""
        await asyncio.gather(*self._listening)
        for waiting in self._ready:
            waiting.exception()


@asynccontextmanager
async def crowd(parts: Parts, processes: int, seed: int) -> AsyncIterator[Crowd]:
    """So many processes that share the peers and end with us."""
    told = (
        {
            "urls": parts.urls,
            "seed": f"{seed}-{index}",
            "source": f"127.0.0.{FIRST_SOURCE + index}" if parts.local else "",
            "removes": parts.removes,
            "seats": parts.seats[index::processes],
            "chairs": parts.chairs[index::processes],
        }
        for index in range(processes)
    )
    playing: Crowd | None = None
    try:
        async with generators("loadtests.engine.generator", told) as started:
            playing = Crowd(started)
            await playing.ready()
            yield playing
    finally:
        if playing is not None:
            await playing.ended()
