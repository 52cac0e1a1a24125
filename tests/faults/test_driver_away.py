"""Shows that people beside a machine go on although whoever drives it sits at a node that cannot be reached."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.checker import Output
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.readiness import until_ready
from tests.faults.records import Record
from tests.faults.talking import Manner, Place, Talking
from tests.faults.viewer import Viewer
from tests.support.cluster import Team
from tests.support.patience import overrun, within
from tests.support.screen import browser

pytestmark = pytest.mark.xdist_group("faults-redis")  # on a cluster of their own, beside those of nodes

EVERY_MS = 50
KEPT = 1_200  # records, about 600 KiB: more than a driver may be behind, and less than a machine keeps
TOO_MANY = 3_000  # one and a half megabytes: more than it keeps
GOES_ON_SECONDS = 17.0  # 4 s and a burst, on two busy cores; a driver who is waited for takes 18 s at the least
LOOK_SECONDS = 0.02
HEARD_SECONDS = 5.0
END_SECONDS = 60.0  # in which it goes on however slow this computer is


class Timed(Output):
    """What one browser was shown, and how long it had to wait for more."""

    def __init__(self, before: Output) -> None:
        super().__init__(before._session, "watcher")
        self.last, self._rest = before.last, before._rest
        self.longest_seconds = 0.0
        self._shown_at = time.monotonic()

    def show(self, data: bytes) -> list[Record]:
        """Note how long it took."""
        now = time.monotonic()
        self.longest_seconds = max(self.longest_seconds, now - self._shown_at)
        self._shown_at = now
        return super().show(data)


@asynccontextmanager
async def terminal(cluster: FaultCluster, team: Team, driver: str, watcher: str, seed: int) -> AsyncIterator[Talking]:
    """A terminal on a machine, driven from one node and watched at another; promises are checked at its end."""
    folder = Path(tempfile.mkdtemp(prefix="away-", dir=cluster.folder))
    async with (
        browser(driver, team.owner.token, "driver") as far,
        browser(watcher, team.owner.token, "watcher") as near,
    ):
        people = [("driver", far), ("watcher", near)]
        machine = str(team.machine("builder")["id"])
        talking = Talking(f"away-{seed}", Manner(folder, seed, EVERY_MS, False), Place(team.workspace, machine, people))
        try:
            await talking.begin(terminal=True)
            await talking.begun()
            yield talking
            violations = await talking.finish()
            assert not violations, "\n".join(str(each) for each in violations)
        finally:
            await talking.leave()


async def bursts(talking: Talking, records: int) -> None:
    """Let the program say so much at once; when this returns it has been told to."""
    heard = talking._manner.folder / f"{talking.who}.heard"
    order = b"!burst %d\n" % records
    assert await talking.viewers[0].attachment.write(order)
    async with asyncio.timeout(within(HEARD_SECONDS)):
        while order not in heard.read_bytes():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(LOOK_SECONDS)


async def sees(viewer: Viewer, records: int) -> None:
    """Wait until so many records have been seen."""
    async with asyncio.timeout(END_SECONDS):
        while viewer.output.last < records:  # noqa: ASYNC110 - the checker tells nobody
            await asyncio.sleep(LOOK_SECONDS)


@pytest.mark.parametrize(("lost", "records"), [("machine", KEPT), ("driver", TOO_MANY)])
async def test_who_watches_beside_a_machine_goes_on_while_its_drivers_node_cannot_be_reached(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, lost: str, records: int
) -> None:
    """Whichever of the two nodes has lost Redis. The driver comes back to all that it missed, or is told of a gap."""
    home = faults_machines.node_of("builder")
    elsewhere = cluster.other(home)
    async with terminal(cluster, faults_team, elsewhere, home, seed) as talking:
        driver, watcher = talking.viewers
        timed = watcher.output = Timed(watcher.output)
        way = cluster.redis(home if lost == "machine" else elsewhere)
        way.stall(way="up" if lost == "machine" else "down")  # what is typed still arrives, and output no more
        before = watcher.output.last
        await bursts(talking, records)
        way.stall()
        await sees(watcher, before + records)
        print(f"the longest wait of a watcher: {timed.longest_seconds:.1f} s")
        assert timed.longest_seconds < GOES_ON_SECONDS or overrun()
        assert driver.output.last < before + records
        way.heal()
        await until_ready(cluster.urls)
        await asyncio.gather(*(viewer.sees(time.monotonic()) for viewer in talking.viewers))
        assert driver.output.gaps == (1 if records == TOO_MANY else 0)
