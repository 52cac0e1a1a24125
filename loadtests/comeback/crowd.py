"""Lets processes play the fleet, and asks them how their agents are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from loadtests.engine.generators import generators
from loadtests.engine.machine import Seat

ANSWER_SECONDS = 60.0  # for a process that shares its core with a storm
LOOK_SECONDS = 0.25


class Crowd:
    """All agents, in however many processes."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes]

    async def connected(self) -> int:
        """How many agents have a connection and were welcomed."""
        return sum(await self._ask("connected"))

    async def all_connected(self, agents: int, seconds: float) -> bool:
        """Wait until so many are, or until the time is up; whether they are."""
        try:
            async with asyncio.timeout(seconds):
                while await self.connected() < agents:  # noqa: ASYNC110 - other processes, which no event tells us of
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    async def mark(self) -> None:
        """Forget what was noted so far."""
        await self._ask("mark")

    async def journal(self) -> dict[str, Any]:
        """What was noted since the mark, of all processes together."""
        first, *others = await self._ask("journal")
        for other in others:
            for name, noted in other.items():
                if isinstance(noted, dict):
                    first[name] = {key: first[name].get(key, 0) + noted.get(key, 0) for key in first[name] | noted}
                else:
                    first[name] += noted
        return dict(first)

    async def _ask(self, question: str) -> list[Any]:
        return await asyncio.gather(*(self._asked(process, question) for process in self._processes))

    async def _asked(self, process: asyncio.subprocess.Process, question: str) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            process.stdin.write(question.encode() + b"\n")
            line = await process.stdout.readline()
        if not line:
            raise ChildProcessError("a generator of the load test has ended")
        return json.loads(line)


@asynccontextmanager
async def playing(urls: list[str], seats: Sequence[Seat], processes: int, seed: int) -> AsyncIterator[Crowd]:
    """So many agents that connect to these nodes, in so many processes that end with us."""
    parts = ({"urls": urls, "seed": f"{seed}-{index}", "seats": seats[index::processes]} for index in range(processes))
    async with generators("loadtests.comeback.generator", parts) as started:
        yield Crowd(started)
