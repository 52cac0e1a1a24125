"""Is one process of the load: takes orders on its standard input, tells what it sees each second on its output.

The first line of its input says who its peers are, as JSON, the second one when the run began, on the monotonic clock.
Each line after them is an order, `{"id", "do", ...}`, answered by `{"id", "result"}` or `{"id", "failed"}` when it is
done. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import time
from random import Random
from typing import Any

import uvloop

from loadtests.engine.crew import Crew
from loadtests.engine.dialling import Way
from loadtests.engine.generators import standard_input
from loadtests.engine.machine import Seat
from loadtests.engine.peer import World
from loadtests.engine.person import Chair
from loadtests.engine.view import Target

OPEN_FILES = 20_000  # what a careful system allows
SECOND = 1.0
RSS_UNIT_BYTES = 1_024  # of Linux's answer, in which alone servers can be watched as well


def crew(told: dict[str, Any]) -> Crew:
    """The peers that the first line names."""
    seats = [_seat(*seat) for seat in told["seats"]]
    chairs = [_chair(*chair) for chair in told["chairs"]]
    world = World(told["urls"], Random(told["seed"]), Way(told["source"]))
    return Crew(world, seats, chairs, removes=told["removes"])


def _seat(id: str, name: str, hostname: str, instance: str, token: str, sessions: list[str], *rest: Any) -> Seat:
    return Seat(id, name, hostname, instance, token, tuple(sessions), *rest)


def _chair(client: str, token: str, targets: list[list[Any]], *rest: Any) -> Chair:
    return Chair(client, token, tuple(Target(*each) for each in targets), *rest)


async def play() -> None:
    """Do as ordered until nobody orders any more."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard < 0 else min(OPEN_FILES, hard), hard))
    reader = await standard_input()
    told = json.loads(await reader.readline())
    playing = crew(told)
    tasks = {
        asyncio.create_task(playing.tick_often()),
        asyncio.create_task(playing.report_often()),
    }
    gc.collect()
    gc.freeze()  # a pause of this process would show as one of the relay
    _tell({"ready": True})
    began = json.loads(await reader.readline() or "0")
    tasks.add(asyncio.create_task(_tell_often(playing, began)))
    while line := await reader.readline():
        task = asyncio.create_task(_obey(playing, json.loads(line), began))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    playing.end()
    for task in tasks:
        task.cancel()


async def _obey(playing: Crew, order: dict[str, Any], began: float) -> None:
    id, name = order.pop("id"), order.pop("do")
    if name == "count":  # what has been seen of the second that is under way
        _tell_second(playing, int(time.monotonic() - began))
        _tell({"id": id, "result": None})
        return
    try:
        _tell({"id": id, "result": await playing.order(name, order)})
    except Exception as error:  # whatever it is, the conductor must not wait for ever
        _tell({"id": id, "failed": f"{name}: {type(error).__name__}: {error}"})


async def _tell_often(playing: Crew, began: float) -> None:
    """What was seen in each whole second since the beginning of the run."""
    number = int(time.monotonic() - began)
    while True:
        await asyncio.sleep(max(0.0, began + number + SECOND - time.monotonic()))
        _tell_second(playing, number)
        number = max(number + 1, int(time.monotonic() - began))


def _tell_second(playing: Crew, number: int) -> None:
    tally = playing.world.tally
    told = {"second": number, "took": tally.second(), "counts": tally.counts(), "connected": playing.connected()}
    rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES
    _tell(told | {"cpu": time.process_time(), "rss": rss_bytes})


def _tell(what: dict[str, Any]) -> None:
    print(json.dumps(what, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    uvloop.run(play())
