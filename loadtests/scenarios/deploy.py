"""A rolling restart of every node under load, as a deploy does it: nothing lost, nothing repeated, closes along a ramp.

On a cluster of its own each node is told to drain and comes back before the next one is. Against --url the load is held
for --seconds while you roll the relay yourself.
"""

from __future__ import annotations

import asyncio
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer

DRAIN_SECONDS = 5.0  # RELAY_DRAIN_SECONDS of nodes of its own
AWAY_SECONDS = DRAIN_SECONDS + 30.0  # a node that has not ended and come back by then never will
LOOK_SECONDS = 0.1
BACK_SECONDS = 2.0  # between two nodes: peers that were sent away have settled
ASK_SECONDS = 1.0


class Deploy(Scenario):
    """Machines with sessions that talk, drivers who type, watchers, and people who follow the workspace."""

    name = "deploy"
    seconds = 30.0
    sizes = (
        Size("machines", 20, "machines with one session each", scaled=True),
        Size("watchers", 2, "browsers that watch each session, beside its driver"),
        Size("followers", 3, "browsers that follow the list of machines"),
        Size("rate", 5, "frames a second that each session says", counted=False),
        Size("typing", 2, "inputs a second of each driver, which are echoed", counted=False),
        Size("bytes", 128, "of a frame's payload"),
        Size("ramp", 100, "peers that come in a second", counted=False),
    )
    told = {"RELAY_DRAIN_SECONDS": f"{DRAIN_SECONDS:g}"}  # noqa: RUF012 - never changed

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """One for each session."""
        return [Machines(integer(sizes, "machines"), sessions=1, echoes=True)]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Drivers, watchers and followers."""
        machines = integer(sizes, "machines")
        return [
            People(machines, sessions=1, mode="drive"),
            People(machines * integer(sizes, "watchers"), sessions=1),
            People(integer(sizes, "followers"), follows=True),
        ]

    async def play(self, run: Run) -> None:
        """Come, restart every node under load, settle, go."""
        await run.seat(run.sizes["ramp"])
        seated = run.offline_told()
        sizes = run.sizes
        traffic = Traffic(talk=sizes["rate"], talk_bytes=run.size("bytes"), type=sizes["typing"], ask=1.0)
        if run.target.own:
            async with run.carrying(traffic):
                for index in range(len(run.target.urls)):
                    async with run.phase(f"restart {run.target.node(index)}"):
                        await restarted(run, index)
                        await asyncio.sleep(BACK_SECONDS)
        else:
            async with run.phase("your restart"):
                await run.carry(traffic, run.seconds)
        await run.settle()
        run.nobody_offline_since(seated)
        run.details["closesEachSecondAtMost"] = run.account.busiest_second("closes.")
        await run.leave(sizes["ramp"] * 4)


async def restarted(run: Run, index: int) -> None:
    """Tell one node of our own to drain, and wait until it is back. Raises `TimeoutError`."""
    name = run.target.node(index)
    before = run.target.pids()[name]
    run.target.signal(index, signal.SIGTERM)
    async with asyncio.timeout(AWAY_SECONDS):
        while run.target.pids()[name] == before:  # noqa: ASYNC110 - a process, which tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        while not await asyncio.to_thread(_ready, run.target.urls[index]):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(LOOK_SECONDS)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=ASK_SECONDS):
            return True
    except (OSError, urllib.error.URLError):
        return False
