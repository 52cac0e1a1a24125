"""Terminals that carry 40 KB a second each way: everything that is typed is echoed by its machine."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer

SHARE = 0.9  # of what was asked for has to come; a vendor of remote desktops fails a run below that


class Terminals(Scenario):
    """Every terminal has its driver, who types, and its machine, which echoes every byte."""

    name = "terminals"
    seconds = 20.0
    sizes = (
        Size("terminals", 20, "terminals, each with its driver", scaled=True),
        Size("bytes", 1_024, "of one input"),
        Size("each", 40_000, "bytes a second that each terminal carries, each way"),
        Size("ramp", 100, "peers that come in a second", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """One for each terminal."""
        return [Machines(integer(sizes, "terminals"), sessions=1, echoes=True)]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """One for each terminal."""
        return [People(integer(sizes, "terminals"), sessions=1, mode="drive")]

    async def play(self, run: Run) -> None:
        """Come, type, settle, go."""
        await run.seat(run.sizes["ramp"])
        rate = run.sizes["each"] / run.sizes["bytes"]
        async with run.phase(HOLD):
            await run.carry(Traffic(type=rate, type_bytes=run.size("bytes")), run.seconds)
        await run.settle()
        carried = run.carried_bytes / 2
        asked = run.sizes["each"] * run.sizes["terminals"] * run.seconds
        run.details["shareOfTargetThroughput"] = round(carried / asked, 3)
        if carried < SHARE * asked:
            run.violations.append(f"only {carried / asked:.0%} of the throughput that was asked for was carried")
        await run.leave(run.sizes["ramp"] * 4)
