"""Shows what becomes of input nobody confirmed and of output nobody could keep: once, or said to be missing."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import Plan, loaded
from tests.faults.viewer import Viewer
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-networks")  # on a cluster of their own, beside those of nodes

UNCONFIRMED_SECONDS = 1.0  # of typing whose acknowledgements are swallowed
BURST = 4_000  # records, two megabytes: twice of what a machine keeps
LOOK_SECONDS = 0.02
WAIT_SECONDS = 20.0


async def sees_all(viewer: Viewer, records: int) -> None:
    """Wait until so many records have been seen, or what came after a gap reached as far."""
    async with asyncio.timeout(within(WAIT_SECONDS)):
        while viewer.output.last < records:  # noqa: ASYNC110 - the checker tells nobody
            await asyncio.sleep(LOOK_SECONDS)


async def test_input_whose_acknowledgements_were_lost_is_sent_again_and_applied_once(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """What browsers send arrives, and nothing comes back, until their sockets are cut."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        for url in cluster.urls:
            cluster.front(url).half_open(way="down", only=b"/ws/browser")
        await asyncio.sleep(UNCONFIRMED_SECONDS)
        waiting = sum(viewer.input.typed - len(viewer.input.acknowledged) for viewer in load.viewers)
        cluster.lend.heal()
        await load.catches_up()
        print(f"{waiting} inputs were sent again")
        assert waiting >= len(load.talks)
        assert load.gaps == 0


async def test_a_browser_that_was_away_for_longer_than_the_machine_remembers_is_told_of_the_gap(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """It is told so, and everything behind the gap is whole; the one who drives waits for nobody and misses nothing."""
    async with loaded(cluster, faults_team, faults_machines, seed, Plan(sessions=1, types=False)) as load:
        driver, watcher = load.talkings[0].viewers
        for url in cluster.urls:
            cluster.front(url).refuse()  # nobody new comes in
        cluster.front(load.connections[1].node or "").reset(only=b"/ws/browser")
        before = driver.output.last
        assert await driver.attachment.write(b"!burst %d\n" % BURST)
        await sees_all(driver, before + BURST)
        cluster.lend.heal()
        await load.catches_up()
        assert (driver.output.gaps, watcher.output.gaps) == (0, 1)
        assert watcher.output.count < driver.output.count
