"""Shows that nothing is lost and nothing done twice when nodes die, freeze, or are cut off from their peers."""

from __future__ import annotations

import time

from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import loaded
from tests.support.cluster import Team

CAUGHT_UP_SECONDS = 5.0


async def test_a_killed_node_costs_nobody_a_byte(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        node = faults_machines.node_of("builder")
        killed_at = time.monotonic()
        cluster.node_at(node).kill()
        took = sorted(await load.catches_up(killed_at))
        print(f"caught up: {took}")
        assert took[-1] <= CAUGHT_UP_SECONDS
        assert load.gaps == 0
