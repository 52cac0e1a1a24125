"""A fleet of machines comes, beats, and goes: what connections and beats cost, and how soon each is answered."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer


class Fleet(Scenario):
    """Machines without sessions, and a few people who follow the list of them."""

    name = "fleet"
    seconds = 30.0
    sizes = (
        Size("machines", 1_000, "machines that beat", scaled=True),
        Size("beat", 0, "seconds between two beats of one; 0: as the relay says", counted=False),
        Size("followers", 3, "browsers that follow the list of machines"),
        Size("ramp", 100, "machines that come in a second", counted=False),
        Size("drain", 200, "machines that go in a second", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """All alike."""
        return [Machines(integer(sizes, "machines"), beat_seconds=sizes["beat"])]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Those who follow."""
        return [People(integer(sizes, "followers"), follows=True)]

    async def play(self, run: Run) -> None:
        """Come, beat, go."""
        await run.seat(run.sizes["ramp"])
        async with run.phase(HOLD):
            await run.carry(Traffic(ask=1.0), run.seconds)
        await run.settle()
        await run.leave(run.sizes["drain"])
