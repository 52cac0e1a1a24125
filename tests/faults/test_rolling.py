"""Shows that a deploy is nobody's business: every node is restarted in turn under load, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from uuid import uuid4

from relay.client.connection import Connection
from relay.errors import RelayError
from relay.rules import frames
from relay.rules.messages import Message
from tests.faults.cluster import DRAIN_SECONDS, FaultCluster, Machines
from tests.faults.load import loaded
from tests.faults.test_nodes import told
from tests.support.cluster import Team
from tests.support.screen import browser

BYSTANDERS = 40  # more browsers on one node, so that a cliff would show
SLICE_SECONDS = 0.25
STEEPEST = 0.75  # of all closes in one slice: they are spread over three of these, and a busy core bunches them
BROWSERS_SHARE = 0.25  # of a drain, at least, in which the closes of browsers are spread


class Ends:
    """When the sockets of a connection ended."""

    def __init__(self, times: list[float]) -> None:
        self._times = times

    def on_connected(self) -> None:
        """Of no interest."""

    def on_lost(self, end: RelayError) -> None:
        """Note it."""
        self._times.append(time.monotonic())

    def on_message(self, message: Message) -> None:
        """Of no interest."""

    def on_frame(self, header: frames.Header, frame: bytes) -> None:
        """Of no interest."""


async def test_every_node_is_restarted_in_turn_and_nobody_notices(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Every process exits 0; no byte is lost or repeated, no gap declared, no machine offline."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        took = []
        for url in cluster.urls:
            part = cluster.node_at(url)
            began = time.monotonic()
            assert await asyncio.to_thread(part.stop) == 0
            took.append(time.monotonic() - began)
            part.start_again()
            await asyncio.to_thread(cluster.wait_ready, url)
            told(load, "caught up after a restart", await load.catches_up())
        print("drains took " + ", ".join(f"{seconds:.1f} s" for seconds in took))
        assert load.gaps == 0


async def test_a_draining_node_closes_its_browsers_in_a_ramp_and_not_in_a_cliff(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    times: list[float] = []
    url = cluster.urls[seed % len(cluster.urls)]
    async with AsyncExitStack() as stack:
        bystanders: list[Connection] = []
        for _ in range(BYSTANDERS):
            bystanders.append(await stack.enter_async_context(browser(url, faults_team.owner.token)))
        for each in bystanders:
            each.nodes = list(dict.fromkeys([*each.nodes, *cluster.urls]))
            each.listeners.add(str(uuid4()), Ends(times))
        assert await asyncio.to_thread(cluster.node_at(url).stop) == 0
        times.sort()
        assert len(times) == BYSTANDERS
        slices = [sum(at <= each < at + SLICE_SECONDS for each in times) for at in times]
        print(f"closes over {times[-1] - times[0]:.2f} s, at most {max(slices)} of {BYSTANDERS} in {SLICE_SECONDS:g} s")
        assert times[-1] - times[0] >= BROWSERS_SHARE * DRAIN_SECONDS
        assert max(slices) <= STEEPEST * BYSTANDERS
        async with asyncio.timeout(DRAIN_SECONDS + 10):
            await asyncio.gather(*(each.ready() for each in bystanders))
        assert {each.node for each in bystanders} <= set(cluster.urls) - {url}
