"""Shows that a machine which loses its socket and then finds no node with Redis is not taken for one that left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from relay.errors import Close
from relay.rules.timing import DROPPED_SECONDS, SWEEP_SECONDS
from relay.store import Keys
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import Load, Plan, loaded
from tests.faults.readiness import until_ready
from tests.support.bare import BareMachine, bare
from tests.support.cluster import Team
from tests.support.patience import within

pytestmark = pytest.mark.xdist_group("faults-redis")  # on a cluster of their own, beside those of nodes

SHORT_SECONDS = 5.0  # an absence of Redis that may be no more than a flush that is late
JUDGED_SECONDS = DROPPED_SECONDS - SWEEP_SECONDS  # after which an announcement may be right
TOLD_SECONDS = 10.0  # that a socket dropped, to somebody who watches
LOOK_SECONDS = 0.02


async def told_of_a_drop(load: Load, machine: str) -> None:
    """Wait until somebody who watches was told that a machine is not connected."""
    since = time.monotonic()
    while not any(told.machine == machine and not told.connected for told in load.watchers[0].told):
        assert time.monotonic() - since < within(TOLD_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)


@contextmanager
def redis(cluster: FaultCluster) -> Iterator[Redis]:
    """Redis as its operator sees it."""
    with Redis(unix_socket_path=str(cluster.valkey.socket), decode_responses=True) as client:
        yield client


def trust_silence(cluster: FaultCluster, workspace: str) -> None:
    """As if the cluster had run for longer than the time in which machines announce themselves."""
    with redis(cluster) as client:
        client.hset(Keys().of(Keys().shard(workspace), "marker"), "settled", 1)


def announced(cluster: FaultCluster, workspace: str) -> set[str]:
    """The machines that sweepers have announced offline."""
    with redis(cluster) as client:
        return {str(each) for each in client.zrange(Keys().of(Keys().shard(workspace), "offline"), 0, -1)}


async def test_a_machine_that_drops_right_before_redis_is_away_for_a_grace_is_not_announced_offline(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """No node can take it back for as long as a grace lasts, and the sweepers, who do have Redis, look at it."""
    async with loaded(cluster, faults_team, faults_machines, seed, Plan(sessions=1)) as load:
        machine = faults_team.machine("builder")["id"]
        for url in cluster.urls:
            cluster.front(url).refuse()
        cluster.front(faults_machines.node_of("builder")).reset(only=b"/ws/agent")
        await told_of_a_drop(load, machine)
        for url in cluster.urls:
            cluster.redis(url).half_open()
            cluster.front(url).heal()
        trust_silence(cluster, faults_team.workspace)  # now that no flush can come late, and begin that time anew
        await asyncio.sleep(DROPPED_SECONDS + SWEEP_SECONDS)
        assert not announced(cluster, faults_team.workspace).intersection(load.ids)
        cluster.lend.heal()
        await until_ready(cluster.urls)
        await load.catches_up()


def test_nor_is_one_that_was_turned_away_because_redis_was_away_for_seconds(
    cluster: FaultCluster, faults_team: Team
) -> None:
    """Redis stands still for less than a grace, in which the machine finds a node and is not let in."""
    machine, url = BareMachine(faults_team, "turned-away"), cluster.urls[0]
    with machine.agent(url):
        pass
    dropped = time.monotonic()
    while faults_team.machine("turned-away")["connected"]:
        assert time.monotonic() - dropped < within(TOLD_SECONDS)
        time.sleep(LOOK_SECONDS)
    trust_silence(cluster, faults_team.workspace)
    cluster.valkey.freeze()
    frozen = time.monotonic()
    try:
        with bare(url, "/ws/agent", machine.token) as agent:
            agent.say(**machine.hello())
            assert agent.is_closed() == (Close.UNAVAILABLE, "unavailable")
        time.sleep(max(0.0, frozen + SHORT_SECONDS - time.monotonic()))
    finally:
        cluster.valkey.thaw()
    thawed = time.monotonic()
    while True:
        offline = announced(cluster, faults_team.workspace)
        if time.monotonic() - thawed > JUDGED_SECONDS:
            break
        assert machine.id not in offline
        time.sleep(LOOK_SECONDS * 5)
    with machine.agent(url):
        pass
