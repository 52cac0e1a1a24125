"""Some browsers stop reading: those beside them on the same sessions must not notice, and the sleepers catch up."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer


class Slow(Scenario):
    """Sessions that say a lot, watched by browsers that read and browsers that do not."""

    name = "slow"
    seconds = 15.0
    sizes = (
        Size("sessions", 4, "sessions that talk, each on a machine of its own"),
        Size("watchers", 5, "browsers that watch each of them and read"),
        Size("sleepers", 5, "browsers that watch each of them and stop reading", scaled=True),
        Size("rate", 20, "frames a second that each session says", counted=False),
        Size("bytes", 8_192, "of a frame's payload"),
        Size("ramp", 100, "peers that come in a second", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """One for each session."""
        return [Machines(integer(sizes, "sessions"), sessions=1)]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Those who read, and those who do not."""
        sessions = integer(sizes, "sessions")
        return [
            People(sessions * integer(sizes, "watchers"), sessions=1),
            People(sessions * integer(sizes, "sleepers"), sessions=1, slow=True),
        ]

    async def play(self, run: Run) -> None:
        """Come, talk while some sleep, wake them, settle, go. Times are those of the browsers that read."""
        await run.seat(run.sizes["ramp"])
        traffic = Traffic(talk=run.sizes["rate"], talk_bytes=run.size("bytes"), ask=1.0)
        async with run.phase(HOLD):
            await run.carry(traffic, run.seconds)
        async with run.phase("awake"):
            await run.crowd.order("wake")
            await run.all_back()
        await run.settle()
        await run.leave(run.sizes["ramp"] * 4)
