"""Shows that a revoked machine is out within seconds and never back, whatever else is broken while it is revoked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis

from relay.rules.timing import LEASE_RENEW_SECONDS, LEASE_SECONDS
from relay.store import Keys
from tests.faults.caller import SLACK_SECONDS, impaired, is_away, until
from tests.faults.cluster import FaultCluster
from tests.faults.on_postgres import TRUST_SECONDS, OnPostgres, cut
from tests.faults.readiness import until_ready
from tests.support.bare import BareMachine, bare
from tests.support.cluster import Team
from tests.support.patience import within

OUT_SECONDS = 5.0  # after the answer, by whichever way the node hears of it first
BEAT_SECONDS = 10.0  # where only the next flush of beats can tell it
# Until a node that vanished is missed, and has been for too long.
SILENT_SECONDS = LEASE_SECONDS + LEASE_RENEW_SECONDS + TRUST_SECONDS
REVOKED = (4001, "machine-revoked")
LATER = (4103, "unavailable")


async def revoked(team: Team, machine: BareMachine, here: str, there: str, fault: Callable[[], object]) -> float:
    """Revoke a machine that is connected here at a node there, with a fault in between; how long its socket lived on
    after the answer."""

    def story() -> float:
        with machine.agent(here) as agent:
            fault()
            began = time.monotonic()
            answer = team.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
            answered = time.monotonic()
            assert answered - began <= within(OUT_SECONDS + SLACK_SECONDS)
            assert answer["id"] == machine.id
            assert agent.is_closed() == REVOKED
            return time.monotonic() - answered

    took = await asyncio.to_thread(story)
    print(f"out {took:.1f} s after the answer")
    return took


async def comes_back_never(cluster: FaultCluster, machine: BareMachine) -> None:
    """Whoever tries with this machine's token is sent away for good, at every node."""
    for url in cluster.urls:
        seen: list[tuple[int, str]] = []

        async def is_told(url: str = url, seen: list[tuple[int, str]] = seen) -> bool:
            seen.append(await asyncio.to_thread(knocks, url, machine))
            return seen[-1] != LATER

        await until(is_told)
        assert seen[-1] == REVOKED


def knocks(url: str, machine: BareMachine) -> tuple[int, str]:
    """What an agent with this machine's token is told."""
    with bare(url, "/ws/agent", machine.token) as agent:
        agent.say(**machine.hello())
        return agent.is_closed()


async def registered(team: Team, name: str = "stolen") -> BareMachine:
    """A machine that will be revoked."""
    return await asyncio.to_thread(BareMachine, team, name)


async def test_while_redis_is_gone(cluster: FaultCluster, faults_team: Team) -> None:
    """Every node finds it in the table; meanwhile nobody is let in, and afterwards it is known again."""
    here, there, _ = cluster.urls
    machine = await registered(faults_team)
    assert await revoked(faults_team, machine, here, there, cluster.valkey.stop) <= within(OUT_SECONDS + SLACK_SECONDS)
    assert await asyncio.to_thread(knocks, here, machine) == LATER
    cluster.valkey.start()
    await comes_back_never(cluster, machine)


async def test_on_a_node_that_is_deaf(cluster: FaultCluster, faults_team: Team) -> None:
    here, there, _ = cluster.urls
    machine = await registered(faults_team)
    took = await revoked(faults_team, machine, here, there, cluster.redis(here).deafen)
    assert took <= within(OUT_SECONDS + SLACK_SECONDS)
    await comes_back_never(cluster, machine)


async def test_on_a_node_that_is_cut_off_from_redis(cluster: FaultCluster, faults_team: Team) -> None:
    here, there, _ = cluster.urls
    machine = await registered(faults_team)
    took = await revoked(faults_team, machine, here, there, lambda: cut(cluster.redis(here)))
    assert took <= within(OUT_SECONDS + SLACK_SECONDS)
    cluster.redis(here).heal()
    await comes_back_never(cluster, machine)


async def test_and_then_redis_forgets_everything(cluster: FaultCluster, faults_team: Team) -> None:
    here, there, _ = cluster.urls
    machine = await registered(faults_team)
    await revoked(faults_team, machine, here, there, lambda: None)
    cluster.valkey.empty()
    await comes_back_never(cluster, machine)


async def test_and_then_a_replica_takes_over_that_had_not_heard_of_it(cluster: FaultCluster, faults_team: Team) -> None:
    """What it holds is whole, and old: it says up to which change, and every node has read further."""
    here, there, _ = cluster.urls
    machine, keys = await registered(faults_team), Keys()
    shard = keys.shard(faults_team.workspace)
    mirror = [keys.of(shard, name) for name in ("revoked", "upto")]
    redis = Redis(unix_socket_path=str(cluster.valkey.socket))
    with_it = await registered(faults_team, "stolen-before")
    await revoked(faults_team, with_it, here, there, lambda: None)
    before: list[Any] = [await redis.dump(key) for key in mirror]
    await revoked(faults_team, machine, here, there, lambda: None)
    for key, value in zip(mirror, before, strict=True):
        await redis.restore(key, 0, value, replace=True)
    await redis.aclose()
    await comes_back_never(cluster, machine)


async def test_during_the_hello(cluster: FaultCluster, faults_team: Team) -> None:
    """The node's question to Redis is on its way when the machine is revoked."""
    here, there, _ = cluster.urls
    machine = await registered(faults_team)

    def story() -> tuple[int, str]:
        with bare(here, "/ws/agent", machine.token) as agent:
            cluster.redis(here).stall()
            agent.say(**machine.hello())
            faults_team.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
            cluster.redis(here).heal()
            return agent.is_closed()

    assert await asyncio.to_thread(story) == REVOKED
    await comes_back_never(cluster, machine)


async def test_a_revocation_that_was_answered_outlives_a_crash_of_the_registry(
    on_pair: OnPostgres, members: Team
) -> None:
    machine = await asyncio.to_thread(BareMachine, members, "stolen")

    def revoke() -> tuple[int, str]:
        with machine.agent(on_pair.urls[1]) as agent:
            members.owner("DELETE", f"/api/machines/{machine.id}")
            on_pair.pair.primary.throw_away()
            return agent.is_closed()

    assert await asyncio.to_thread(revoke) == (4001, "machine-revoked")
    on_pair.valkey.empty()
    await on_pair.pair.primary.start_again()
    await comes_back_never(on_pair, machine)


async def test_a_node_without_registry_lets_nobody_in_who_was_revoked_elsewhere(
    on_pair: OnPostgres, members: Team
) -> None:
    """Its own look at the changes is late, but who may come in is kept in Redis, by any node that knows."""
    here, there = on_pair.urls
    machine = await asyncio.to_thread(BareMachine, members, "stolen")

    def revoke() -> tuple[int, str]:
        with machine.agent(here) as agent:
            cut(on_pair.registry(here))
            members.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
            return agent.is_closed()

    assert await asyncio.to_thread(revoke) == (4001, "machine-revoked")
    assert await asyncio.to_thread(knocks, here, machine) == (4001, "machine-revoked")


async def test_by_a_node_without_redis_on_a_node_without_registry(on_pair: OnPostgres, members: Team) -> None:
    """Neither can tell the other, until one of them can: who revoked it has not forgotten that Redis does not know."""
    here, there = on_pair.urls
    machine = await registered(members)

    def story() -> float:
        with machine.agent(here) as agent:
            cut(on_pair.registry(here))
            cut(on_pair.redis(there))
            members.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
            on_pair.redis(there).heal()
            healed = time.monotonic()
            assert agent.is_closed() == REVOKED
            return time.monotonic() - healed

    took = await asyncio.to_thread(story)
    print(f"out {took:.1f} s after one of the nodes could tell")
    assert took <= within(BEAT_SECONDS + SLACK_SECONDS)
    assert await asyncio.to_thread(knocks, here, machine) == REVOKED


async def test_where_the_network_parts_redis_from_the_registry_who_was_revoked_is_let_in_for_seconds(
    on_pair: OnPostgres, members: Team
) -> None:
    """One node reads the registry and has no Redis, with the other it is the other way round: all that either can know
    is that the other is silent. Whoever revokes is told so; who is connected stays, for it is not their trouble."""
    here, there = on_pair.urls
    machine, neighbor = await registered(members), await registered(members, "neighbor")
    other = await registered(members, "stolen-too")
    await asyncio.to_thread(welcomed, here, machine)

    def revoke() -> dict[str, Any]:
        cut(on_pair.registry(here))
        cut(on_pair.redis(there))
        answer: dict[str, Any] = members.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
        return answer

    def revoke_by_hand() -> str:
        words = ("machines", "revoke", "--yes", "-w", members.workspace, other.id)
        said = on_pair.cli(members.owner.token, *words, url=there)
        assert said.returncode == 0, said
        return said.stderr

    with neighbor.agent(here) as agent:
        answer = await asyncio.to_thread(revoke)
        assert answer["revokedAt"]
        assert (answer["closedConnections"], answer["refusedEverywhere"]) == (0, False)
        assert "unknown" in answer["unconfirmedNodes"]
        assert len(answer["unconfirmedNodes"]) == 2, "the other node that was here before, by its name"
        await asyncio.to_thread(welcomed, here, machine)  # nobody there can know, and the other may just be late
        assert "Redis could not be told" in await asyncio.to_thread(revoke_by_hand)

        async def lets_nobody_in() -> bool:
            return "revocations-unknown" in await impaired(here)

        took = await until(lets_nobody_in, 2 * SILENT_SECONDS)
        print(f"machines were let in for {took:.1f} s")
        assert await asyncio.to_thread(knocks, here, machine) == LATER
        assert members.machine("neighbor")["online"]
        agent.say(type="bye")
    on_pair.lend.heal()
    await comes_back_never(on_pair, machine)
    await until_ready(on_pair.urls)
    for url in on_pair.urls:
        await until(partial(knows_again, url))
    await asyncio.to_thread(welcomed, here, neighbor)


async def test_a_registry_that_is_away_for_every_node_keeps_no_machine_out(on_pair: OnPostgres, members: Team) -> None:
    """For as long as it lasts: nodes that know of each other know that nobody revokes."""
    machine = await registered(members, "wanderer")
    await asyncio.to_thread(welcomed, on_pair.urls[0], machine)
    for proxy in on_pair.registries():
        cut(proxy)
    for url in on_pair.urls:
        await is_away(url)
    await asyncio.sleep(TRUST_SECONDS + LEASE_RENEW_SECONDS)
    for url in on_pair.urls:
        await asyncio.to_thread(welcomed, url, machine)


async def knows_again(url: str) -> bool:
    """Whether nothing is amiss at a node."""
    return await impaired(url) == []


def welcomed(url: str, machine: BareMachine) -> None:
    """A machine comes to a node, is welcomed, and goes."""
    with machine.agent(url):
        pass
