"""Plays a part of the fleet in a process of its own, and answers what it is asked on its standard input.

The first line says who its agents are, as JSON; each line after it is a question, answered with one line of JSON:
`connected`, `mark` (forget what was noted so far) or `journal`. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from itertools import islice
from random import Random

import uvloop

from loadtests.comeback.agent import Agent
from loadtests.comeback.journal import Journal
from loadtests.engine.arrivals import arrivals, pace
from loadtests.engine.generators import standard_input
from loadtests.engine.machine import Seat
from loadtests.engine.peer import World

FIRST_PER_SECOND = 1_000.0  # agents of this process that come at first: the storm is to come later


async def play() -> None:
    """Let all agents live, until nobody asks any more."""
    reader = await standard_input()
    told = json.loads(await reader.readline())
    world = World(told["urls"], Random(told["seed"]))
    journal = Journal(world.tally)
    agents = [Agent(Seat(*seat), world, journal) for seat in told["seats"]]
    living = [asyncio.create_task(_come(agents, world.random))]
    gc.collect()
    gc.freeze()  # a pause of this process would show as one of the relay
    while line := await reader.readline():
        print(json.dumps(_answer(line.decode().strip(), agents, journal)), flush=True)
    for task in living:
        task.cancel()
    await asyncio.gather(*living, return_exceptions=True)


async def _come(agents: list[Agent], random: Random) -> None:
    """Let all of them come, and live until this is cancelled."""
    coming = iter(agents)
    lives: list[asyncio.Task[None]] = []
    dues = islice(arrivals(FIRST_PER_SECOND, time.monotonic(), random), len(agents))
    try:
        await pace(dues, float("inf"), lambda due: lives.append(asyncio.create_task(next(coming).live(due))))
        await asyncio.gather(*lives)
    finally:
        for life in lives:
            life.cancel()


def _answer(question: str, agents: list[Agent], journal: Journal) -> object:
    if question == "connected":
        return sum(agent.line is not None for agent in agents)
    if question == "mark":
        journal.mark()
        return "marked"
    assert question == "journal", question
    return journal.as_data()


if __name__ == "__main__":
    uvloop.run(play())
