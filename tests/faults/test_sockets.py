"""Shows that networks which forget, hold, delay and cut connections cost nobody a byte and no machine its place."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import Plan, loaded
from tests.faults.test_nodes import CAUGHT_UP_SECONDS, VANISHED_SECONDS, told
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-networks")  # on a cluster of their own, beside those of nodes

CUTTING_SECONDS = 5.0
CUT_BYTES = 40_000  # of each connection: a second or two of a browser's share of the load
MACHINES_TIMES = 4  # what a machine sends before it is cut, in so many shares of a browser
STALL_SECONDS = 2.0
TOLD_SECONDS = 1.0  # by then an event has reached everybody
SLOW_SECONDS = 0.2  # each way
LAST_FRAME_SECONDS = 3.0  # a lost last frame is noticed
SPREAD_SECONDS = 2.0  # and whoever is told of a gap comes back within this time


@pytest.mark.parametrize("peers", [b"/ws/agent", b"/ws/browser"], ids=["machines", "browsers"])
async def test_half_open_sockets_are_left_and_their_late_end_changes_nothing(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int, peers: bytes
) -> None:
    """The node goes on believing in sockets that their peers have left; when it learns of their end it has no say in
    it any more."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        url = faults_machines.node_of("builder")
        forgotten_at = time.monotonic()
        cluster.front(url).half_open(only=peers)
        took = told(load, "caught up beside half-open sockets", await load.catches_up(forgotten_at, VANISHED_SECONDS))
        assert took <= within(VANISHED_SECONDS)
        healed_at = time.monotonic()
        cluster.front(url).heal()
        await load.catches_up()
        await asyncio.sleep(TOLD_SECONDS)
        told_since = [each for watcher in load.watchers for each in watcher.told if each.at > healed_at]
        assert all(each.connected for each in told_since), "the end of a socket that was left said something"
        assert load.gaps == 0


async def test_connections_that_are_cut_in_the_middle_of_a_frame_again_and_again_lose_nothing(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """At every node, browsers and machines; these more seldom, because one that can never stay for ten seconds is
    rightly said to be offline."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        for url in cluster.urls:
            size = CUT_BYTES + load.random.randrange(CUT_BYTES)
            cluster.front(url).cut_after(size, way="down", only=b"/ws/browser")
            cluster.front(url).cut_after(MACHINES_TIMES * size, way="up", only=b"/ws/agent")
        await asyncio.sleep(CUTTING_SECONDS)
        cuts = sum(viewer.interruptions for viewer in load.viewers)
        cluster.lend.heal()
        told(load, f"caught up after {cuts} interruptions", await load.catches_up())
        assert cuts > len(load.viewers)
        assert load.gaps == 0


async def test_a_network_that_holds_everything_for_a_while_loses_nothing(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        front = cluster.front(faults_machines.node_of("builder"))
        front.stall()
        await asyncio.sleep(STALL_SECONDS)
        front.heal()
        assert told(load, "caught up after a stall", await load.catches_up()) <= within(CAUGHT_UP_SECONDS)
        assert load.gaps == 0


async def test_slow_networks_only_make_it_slow(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        for url in cluster.urls:
            cluster.front(url).delay(SLOW_SECONDS)
        told(load, "caught up over slow networks", await load.catches_up())
        await load.catches_up()
        assert load.gaps == 0


async def test_a_lost_last_frame_is_noticed_although_nothing_follows_it(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """One batch between two nodes is swallowed, and then the program is silent: the numbers of empty batches tell."""
    quiet = Plan(sessions=1, every_ms=60_000, types=False)
    async with loaded(cluster, faults_team, faults_machines, seed, quiet) as load:
        home = faults_machines.node_of(sorted(faults_machines.nodes())[0])
        viewers = [v for v in load.viewers if v.talk is load.talks[0]]
        away = [viewer for viewer in viewers if viewer.attachment._connection.node != home]
        driver = next(viewer for viewer in viewers if viewer.attachment.driver)
        for url in cluster.urls:
            if url != home:
                cluster.redis(url).deafen()
        await driver.attachment.write(b"!burst 1\n")
        said = load.folder / f"{load.talks[0].who}.said"
        async with asyncio.timeout(within(CAUGHT_UP_SECONDS)):
            while int(said.read_bytes()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        lost_at = time.monotonic()
        await asyncio.sleep(0.1)
        assert away
        assert all(viewer.output.last == 1 for viewer in away)
        cluster.lend.heal()
        async with asyncio.timeout(within(LAST_FRAME_SECONDS + SPREAD_SECONDS + 1)):
            while any(viewer.output.last < 2 for viewer in viewers):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        print(f"a lost last frame was on the screen after {time.monotonic() - lost_at:.2f} s")
        assert load.gaps == 0
