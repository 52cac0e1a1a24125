"""Shows what becomes of the peers of a node that has lost its way to Redis for longer than anybody should wait."""

from __future__ import annotations

import asyncio
import time

import pytest

from relay.rules.timing import REDIS_LOST_SECONDS
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import loaded
from tests.faults.readiness import LOOK_SECONDS, reasons, until, until_ready
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-redis")  # on a cluster of their own, beside those of nodes

MOVED_SECONDS = 10.0  # a look at the other nodes, the offers, and hellos there


async def test_a_node_that_lost_redis_sends_its_machines_where_there_is_one_and_closes_none(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """They move by themselves, whoever looks meanwhile sees them live, and then the node takes newcomers again."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        url = faults_machines.node_of("builder")
        cluster.redis(url).stall()
        await until(url, lambda found: "redis-lost" in found, REDIS_LOST_SECONDS + MOVED_SECONDS)
        give_up = time.monotonic() + within(MOVED_SECONDS)
        while url in faults_machines.nodes().values():
            assert time.monotonic() < give_up, "a machine stayed where there is no Redis"
            await asyncio.sleep(LOOK_SECONDS)
        elsewhere = cluster.other(url)
        listed = faults_team.owner.on(elsewhere)("GET", f"/api/machines?workspace={faults_team.workspace}")["machines"]
        assert {machine["state"] for machine in listed if machine["connected"]} == {"live"}
        assert "redis-lost" in reasons(url)
        cluster.redis(url).heal()
        await until_ready([url])
        await load.catches_up()
        assert load.gaps == 0
