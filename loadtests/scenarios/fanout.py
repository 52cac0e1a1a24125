"""Sessions talk, and many browsers on all nodes watch each: what fan-out costs, and how late its frames are."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer


class Fanout(Scenario):
    """Sessions talk, and each is watched by as many browsers, spread over all nodes."""

    name = "fanout"
    seconds = 15.0
    sizes = (
        Size("sessions", 4, "sessions that talk, each on a machine of its own"),
        Size("watchers", 25, "browsers that watch each of them", scaled=True),
        Size("rate", 20, "frames a second that each session says", counted=False),
        Size("bytes", 128, "of a frame's payload"),
        Size("ramp", 100, "peers that come in a second", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """One for each session."""
        return [Machines(integer(sizes, "sessions"), sessions=1)]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """One for each view."""
        return [People(integer(sizes, "sessions") * integer(sizes, "watchers"), sessions=1)]

    async def play(self, run: Run) -> None:
        """Come, talk, settle, go."""
        await run.seat(run.sizes["ramp"])
        async with run.phase(HOLD):
            await run.carry(Traffic(talk=run.sizes["rate"], talk_bytes=run.size("bytes"), ask=1.0), run.seconds)
        await run.settle()
        await run.leave(run.sizes["ramp"] * 4)
