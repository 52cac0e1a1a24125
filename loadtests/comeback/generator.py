"""Plays a part of the fleet in a process of its own, and answers what it is asked on its standard input.

The first line says who its agents are, as JSON; each line after it is a question, answered with one line of JSON:
`connected`, `mark` (forget what was noted so far) or `journal`. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from random import Random

import uvloop

from loadtests.comeback.agent import Agent, Seat, Surroundings
from loadtests.comeback.journal import Journal

FIRST_AT_ONCE = 200  # first handshakes under way in this process
LINE_BYTES = 64 * 1024 * 1024  # of the first line, in which an agent has about 300 bytes


async def play() -> None:
    """Let all agents live, until nobody asks any more."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    told = json.loads(await reader.readline())
    around = Surroundings(told["urls"], Random(told["seed"]), Journal(), asyncio.Semaphore(FIRST_AT_ONCE))
    agents = [Agent(Seat(*seat), around) for seat in told["seats"]]
    living = [asyncio.create_task(agent.live()) for agent in agents]
    gc.collect()
    gc.freeze()  # a pause of this process would show as one of the relay
    while line := await reader.readline():
        print(json.dumps(_answer(line.decode().strip(), agents, around.journal)), flush=True)
    for task in living:
        task.cancel()
    await asyncio.gather(*living, return_exceptions=True)


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
