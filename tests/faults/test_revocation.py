"""Shows that a revoked machine is out within seconds and stays out, whatever is broken meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import Plan, loaded
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-networks")  # on a cluster of their own, beside those of nodes

OUT_SECONDS = 5.0  # after the answer, where the machine's own node can still be reached in some way
FORGOTTEN_SECONDS = 12.0  # where the machine itself has to notice first that nobody hears it
TRIES = 2  # of a revoked machine, one a second, that we wait for
LOOK_SECONDS = 0.05

Fault = Callable[[FaultCluster, str], object]

FAULTS: dict[str, tuple[Fault, float]] = {
    "deaf": (lambda cluster, node: cluster.redis(node).deafen(), OUT_SECONDS),
    "without-redis": (lambda cluster, node: cluster.redis(node).half_open(), OUT_SECONDS),
    "half-open": (lambda cluster, node: cluster.front(node).half_open(only=b"/ws/agent"), FORGOTTEN_SECONDS),
    "frozen": (lambda cluster, node: cluster.node_at(node).freeze(), FORGOTTEN_SECONDS),
}


async def says(machines: Machines, name: str, event: str, times: int, seconds: float) -> None:
    """Wait until a machine has said this so many times."""
    words = f"machine='{name}' event='{event}'"
    async with asyncio.timeout(within(seconds)):
        while machines.output().count(words) < times:  # noqa: ASYNC110 - it writes into a file
            await asyncio.sleep(LOOK_SECONDS)


async def test_a_revoked_machine_is_out_within_seconds_and_stays_out_whatever_is_broken(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Its node hears nothing of the others, has no Redis, is frozen, or talks to a socket that the machine has lost;
    then Redis forgets that there was a revocation at all."""
    thieves = await asyncio.to_thread(cluster.machines, faults_team, *FAULTS)
    try:
        async with loaded(cluster, faults_team, faults_machines, seed, Plan(sessions=1)) as load:
            for name, (fault, out_seconds) in FAULTS.items():
                machine = faults_team.machine(name)["id"]
                node = thieves.node_of(name)
                fault(cluster, node)
                owner = faults_team.owner.on(cluster.other(node))
                answer = await asyncio.to_thread(owner, "DELETE", f"/api/machines/{machine}")
                load.revoked[machine] = answered_at = time.monotonic()
                await says(thieves, name, "left", 1, out_seconds)
                print(f"{name}: {answer['closedConnections']} closed, out after {time.monotonic() - answered_at:.2f} s")
                await asyncio.to_thread(cluster.heal)
            await asyncio.to_thread(cluster.valkey.empty)
            for name in FAULTS:
                tries = thieves.output().count(f"machine='{name}' event='not let in'")
                await says(thieves, name, "not let in", tries + TRIES, FORGOTTEN_SECONDS)
            assert "let in although revoked" not in thieves.output()
            assert not {machine["name"] for machine in faults_team.machines()} & FAULTS.keys()
            await load.catches_up()
    finally:
        thieves.kill()
