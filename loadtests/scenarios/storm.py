"""All sockets of a node are lost at once, under load: how soon everybody is back, with nothing lost and nobody offline.

On a cluster of its own the last node is killed. Against --url every connection that this load has to the last of those
addresses is dropped, which behind a balancer is every connection there is.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

from loadtests.engine.population import Machines, People
from loadtests.engine.run import HOLD, Run, Traffic
from loadtests.engine.scenario import Scenario, Size, integer


class Storm(Scenario):
    """Many machines, some of them with sessions in use."""

    name = "storm"
    seconds = 5.0  # of traffic before and after
    sizes = (
        Size("machines", 300, "machines that only beat", scaled=True),
        Size("terminals", 20, "machines with a session, its driver and a watcher", scaled=True),
        Size("followers", 3, "browsers that follow the list of machines"),
        Size("rate", 5, "frames a second that each session says", counted=False),
        Size("typing", 2, "inputs a second of each driver, which are echoed", counted=False),
        Size("bytes", 128, "of a frame's payload"),
        Size("ramp", 200, "peers that come in a second, at first", counted=False),
    )

    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """Those with a session, and the others."""
        return [
            Machines(integer(sizes, "terminals"), sessions=1, echoes=True),
            Machines(integer(sizes, "machines")),
        ]

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """Drivers, watchers, followers."""
        terminals = integer(sizes, "terminals")
        return [
            People(terminals, sessions=1, mode="drive"),
            People(terminals, sessions=1),
            People(integer(sizes, "followers"), follows=True),
        ]

    async def play(self, run: Run) -> None:
        """Come, lose a node, come back, settle, go."""
        await run.seat(run.sizes["ramp"])
        sizes = run.sizes
        traffic = Traffic(talk=sizes["rate"], talk_bytes=run.size("bytes"), type=sizes["typing"], ask=1.0)
        async with run.carrying(traffic):
            async with run.phase(HOLD):
                await run.waited(run.seconds)
            told = run.offline_told()
            async with run.phase("storm"):
                last = len(run.target.urls) - 1
                before = await run.seated(run.target.urls[last])
                run.details["lostSockets"] = before["there"]
                if run.target.own:
                    run.target.signal(last, signal.SIGKILL)
                else:
                    await run.crowd.order("drop", node=run.target.urls[last])
                back = await run.all_back(before["ended"] + before["there"])
                run.details["backSeconds"] = None if back is None else round(back, 2)
            async with run.phase("after"):
                await run.waited(run.seconds)
        await run.settle()
        run.nobody_offline_since(told)
        await run.leave(sizes["ramp"] * 2)
