"""People and machines come and go all the time: what connecting costs, and that nobody who stays notices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer

PASSING = "passing"


class Churn(Scenario):
    """Sessions that stay and their drivers; visitors who attach to them for a while; machines that pass by."""

    name = "churn"
    seconds = 30.0
    sizes = (
        Size("machines", 10, "machines that stay, with one session and a driver each"),
        Size("visitors", 100, "browsers that take turns", scaled=True),
        Size("passing", 100, "machines that take turns", scaled=True),
        Size("visits", 20, "visits a second, of each kind", scaled=True, counted=False),
        Size("stay", 2, "seconds that a visit lasts", counted=False),
        Size("rate", 5, "frames a second that each session says", counted=False),
        Size("bytes", 128, "of a frame's payload"),
        Size("ramp", 100, "peers that come in a second, at first", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """Those that stay, and those that do not."""
        return [
            Machines(integer(sizes, "machines"), sessions=1, echoes=True, group="staying"),
            Machines(integer(sizes, "passing"), group=PASSING),
        ]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Drivers, and visitors of one session each."""
        return [
            People(integer(sizes, "machines"), sessions=1, mode="drive", group="staying"),
            People(integer(sizes, "visitors"), sessions=1, group=PASSING),
        ]

    async def play(self, run: Run) -> None:
        """Let some stay, let the others come and go, settle."""
        sizes = run.sizes
        await run.seat(sizes["ramp"], who=("machines/staying", "people/staying"))
        async with run.phase(HOLD):
            visits = [
                run.crowd.shared("churn", sizes["visits"], who=who, seconds=run.seconds, stay_seconds=sizes["stay"])
                for who in (f"people/{PASSING}", f"machines/{PASSING}")
            ]
            traffic = Traffic(talk=sizes["rate"], talk_bytes=run.size("bytes"), type=1.0, ask=0.0)
            came, _ = await asyncio.gather(asyncio.gather(*visits), run.carry(traffic, run.seconds))
        run.details["visits"] = {"browsers": sum(came[0]), "machines": sum(came[1])}
        await run.settle()
        await run.leave(sizes["ramp"] * 4)
