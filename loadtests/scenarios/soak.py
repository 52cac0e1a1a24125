"""A little of everything for a long time: `servers.rss_slope < 5MiB/h` finds leaks that no short run shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer

VISITING = "visiting"


class Soak(Scenario):
    """Terminals in use, watched by some, while others come and go."""

    name = "soak"
    seconds = 3_600.0
    sizes = (
        Size("machines", 50, "machines with one session and a driver each", scaled=True),
        Size("visitors", 50, "browsers that come and go", scaled=True),
        Size("visits", 2, "visits a second", scaled=True, counted=False),
        Size("stay", 5, "seconds that a visit lasts", counted=False),
        Size("rate", 2, "frames a second that each session says", counted=False),
        Size("typing", 1, "inputs a second of each driver, which are echoed", counted=False),
        Size("bytes", 256, "of a frame's payload"),
        Size("ramp", 50, "peers that come in a second, at first", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """All alike."""
        return [Machines(integer(sizes, "machines"), sessions=1, echoes=True)]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Drivers, and visitors who follow the list of machines and watch a session."""
        return [
            People(integer(sizes, "machines"), sessions=1, mode="drive", group="staying"),
            People(integer(sizes, "visitors"), sessions=1, follows=True, group=VISITING),
        ]

    async def play(self, run: Run) -> None:
        """Come, go on and on, settle, go."""
        sizes = run.sizes
        await run.seat(sizes["ramp"], who=("machines", "people/staying"))
        traffic = Traffic(talk=sizes["rate"], talk_bytes=run.size("bytes"), type=sizes["typing"], ask=0.1)
        visit = {"who": f"people/{VISITING}", "seconds": run.seconds, "stay_seconds": sizes["stay"]}
        async with run.phase(HOLD):
            await asyncio.gather(run.carry(traffic, run.seconds), run.crowd.shared("churn", sizes["visits"], **visit))
        await run.settle()
        await run.leave(sizes["ramp"] * 4)
