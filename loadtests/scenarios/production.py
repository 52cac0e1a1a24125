"""What one relay of coding agents held at its peak: 7,480 machines, 16,171 sessions, 299 people, 5,000 beats a second.

There every session had a socket of its own, so here a session is a machine with one session; together these are 23,950
sockets, for which load and relay on one host need two cores and `--generators 3`. --scale 0.1 is a tenth of everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer
from relay.rules.timing import BEAT_JITTER

EARLY = 1 - BEAT_JITTER / 2  # beats come this much earlier than every so often, on average
ASKS = 0.1  # questions a second of each person: a page's heartbeat


class Production(Scenario):
    """Machines that beat, sessions that beat more often, people who watch some of them and type now and then."""

    name = "production"
    seconds = 60.0
    sizes = (
        Size("machines", 7_480, "machines", scaled=True),
        Size("sessions", 16_171, "sessions, each with a socket of its own", scaled=True),
        Size("people", 299, "browsers", scaled=True),
        Size("machine-beats", 370, "beats a second of all machines together", scaled=True, counted=False),
        Size("session-beats", 5_000, "beats a second of all sessions together", scaled=True, counted=False),
        Size("messages", 180, "frames a second of all sessions together", scaled=True, counted=False),
        Size("attached", 4, "sessions that each person has open"),
        Size("workspaces", 100, "teams, on a cluster of its own", scaled=True),
        Size("bytes", 512, "of a frame's payload"),
        Size("ramp", 200, "peers that come in a second", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """Machines and sessions, which beat at their own pace."""
        machines, sessions = integer(sizes, "machines"), integer(sizes, "sessions")
        return [
            Machines(sessions, sessions=1, beat_seconds=sessions / sizes["session-beats"] / EARLY, echoes=True),
            Machines(machines, beat_seconds=machines / sizes["machine-beats"] / EARLY),
        ]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Everybody drives what they have open, and follows a team."""
        return [People(integer(sizes, "people"), integer(sizes, "attached"), mode="drive", follows=True)]

    def workspaces(self, sizes: Mapping[str, float]) -> int:
        """As many teams."""
        return integer(sizes, "workspaces")

    async def play(self, run: Run) -> None:
        """Come, work, settle, go."""
        sizes = run.sizes
        await run.seat(sizes["ramp"])
        opened = min(sizes["people"] * sizes["attached"], sizes["sessions"])
        # A third of the messages are typed, a third are the echoes of those, and a third are said without being asked.
        each = sizes["messages"] / 3 / opened
        traffic = Traffic(talk=each, talk_bytes=run.size("bytes"), type=each, ask=ASKS)
        async with run.phase(HOLD):
            await run.carry(traffic, run.seconds)
        await run.settle()
        await run.leave(sizes["ramp"] * 2)
