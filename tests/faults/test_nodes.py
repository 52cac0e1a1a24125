"""Shows that nothing is lost and nothing done twice when nodes die or freeze, and that no question hangs on them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from typing import Any

from relay.client.session import list_sessions
from relay.errors import TimedOut, Unavailable
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.load import Load, loaded, persistently
from tests.support.cluster import Team
from tests.support.patience import within
from tests.support.screen import browser

CAUGHT_UP_SECONDS = 5.0  # after a node was killed
VANISHED_SECONDS = 40.0  # after a host vanished without a word; peers with the usual patience need nearly all of it
SHORT_FREEZE_SECONDS = 5.0
# Longer than a lease, and than anybody waits for a pong; more of it on demand, such as 120 seconds.
LONG_FREEZE_SECONDS = float(os.environ.get("FAULTS_FREEZE_SECONDS", "17"))
FLUSH_SECONDS = 6.0  # a node that comes back has told Redis everything that it believes by then
IN_FLIGHT_SECONDS = 2.0  # after the death of its node a question has failed or succeeded
ASK_SECONDS = 0.25  # between two questions to one machine
SLACK_SECONDS = 1.0  # for two busy cores


def told(load: Load, what: str, seconds: list[float]) -> float:
    """Print how long browsers took, and return the longest."""
    took = sorted(seconds)
    print(f"{what}: p50 {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s; {load.records} records judged")
    return took[-1]


async def test_a_killed_node_costs_nobody_a_byte(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Its machines and browsers go on elsewhere, each where they were."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        killed_at = time.monotonic()
        cluster.node_at(faults_machines.node_of("builder")).kill()
        assert told(load, "caught up after a kill", await load.catches_up(killed_at)) <= within(CAUGHT_UP_SECONDS)
        assert load.gaps == 0


async def test_two_of_three_nodes_killed_at_once_cost_nobody_a_byte(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Everybody meets on the one that is left."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        killed_at = time.monotonic()
        left = load.random.choice(cluster.urls)
        for url in cluster.urls:
            if url != left:
                cluster.node_at(url).kill()
        told(load, "caught up after two kills", await load.catches_up(killed_at))
        assert set(faults_machines.nodes().values()) == {left}
        assert load.gaps == 0


async def test_a_node_that_is_frozen_for_a_while_goes_on_as_if_nothing_had_been(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Others notice within seconds that they hear nothing of it, and nobody gives up on it."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        node = cluster.node_at(faults_machines.node_of("builder"))
        node.freeze()
        await asyncio.sleep(SHORT_FREEZE_SECONDS)
        node.thaw()
        thawed_at = time.monotonic()
        assert told(load, "caught up after a freeze", await load.catches_up(thawed_at)) <= within(CAUGHT_UP_SECONDS)
        assert load.gaps == 0


async def test_a_node_that_was_frozen_for_longer_than_its_lease_takes_nothing_back(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Its machines moved meanwhile: what it believes of them when it wakes, for their sockets seem to be open still,
    is refused; and so is what it says of the ends of these."""
    async with loaded(cluster, faults_team, faults_machines, seed) as load:
        url = faults_machines.node_of("builder")
        moved = [name for name, node in faults_machines.nodes().items() if node == url]
        cluster.front(url).half_open(only=b"/ws/agent")
        cluster.node_at(url).freeze()
        frozen_at = time.monotonic()
        took = told(load, "caught up beside a frozen node", await load.catches_up(frozen_at, VANISHED_SECONDS))
        assert took <= within(VANISHED_SECONDS)
        assert url not in [faults_machines.node_of(name) for name in moved]
        await asyncio.sleep(max(0.0, frozen_at + LONG_FREEZE_SECONDS - time.monotonic()))
        welcomes = [faults_machines.welcomes(name) for name in moved]
        cluster.node_at(url).thaw()
        others = [each for each in cluster.urls if each != url]  # one of which has the machine, and does not ask Redis
        await asyncio.gather(*(answers_for(faults_team, each, moved, FLUSH_SECONDS) for each in others))
        cluster.front(url).heal()
        await load.catches_up()
        assert [faults_machines.welcomes(name) for name in moved] == welcomes, "a machine had to come back"
        for each in cluster.urls:
            listed = faults_team.owner.on(each)("GET", f"/api/machines?workspace={faults_team.workspace}")
            machines = {machine["name"]: machine for machine in listed["machines"]}
            assert {(machines[name]["state"], machines[name]["connected"]) for name in moved} == {("live", True)}
        await load.catches_up()
        assert load.gaps == 0


async def answers_for(team: Team, url: str, names: list[str], seconds: float) -> None:
    """Ask machines again and again for so long; AssertionError if one does not answer at once."""
    machines = [team.machine(name)["id"] for name in names]
    async with browser(url, team.owner.token) as anybody:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for machine in machines:
                assert await settled(list_sessions(anybody, machine), IN_FLIGHT_SECONDS + SLACK_SECONDS) == "answered"
            await asyncio.sleep(ASK_SECONDS)


async def settled_home(team: Team, machines: Machines) -> tuple[str, str]:
    """A machine, and the node that it is on now that it can be asked something again."""
    machine = str(team.machine("builder")["id"])
    async with browser(team.owner.url, team.owner.token) as anybody:
        await persistently(lambda: list_sessions(anybody, machine))
    return machine, machines.node_of("builder")


async def settled(asked: Awaitable[Any], within_seconds: float) -> str:
    """How a question ends; AssertionError if it does not in time."""
    began, within_seconds = time.monotonic(), within(within_seconds)
    try:
        async with asyncio.timeout(within_seconds):
            await asked
            outcome = "answered"
    except (Unavailable, TimedOut) as error:
        outcome = error.code
    except TimeoutError:
        raise AssertionError(f"still waiting after {within_seconds:g} s") from None
    took = time.monotonic() - began
    if took > ASK_SECONDS:
        print(f"a question in flight: {outcome} after {took:.2f} s")
    return outcome


async def test_questions_to_a_machine_whose_node_dies_fail_or_succeed_within_two_seconds(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """Whether the node had taken the question, or was the one that was asked."""
    machine, home = await settled_home(faults_team, faults_machines)
    async with (
        browser(cluster.other(home), faults_team.owner.token) as elsewhere,
        browser(home, faults_team.owner.token) as there,
    ):
        await list_sessions(elsewhere, machine)
        cluster.front(home).stall(only=b"/ws/agent")  # the node takes questions, and its machine does not hear them
        asked = [asyncio.create_task(list_sessions(each, machine)) for each in (elsewhere, there)]
        await asyncio.sleep(SLACK_SECONDS)
        assert not any(task.done() for task in asked)
        cluster.node_at(home).kill()
        for task in asked:
            await settled(task, IN_FLIGHT_SECONDS + SLACK_SECONDS)


async def test_a_question_to_a_frozen_node_does_not_hang(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines, seed: int
) -> None:
    """It is refused within a second or two, so that whoever asked can ask again where the machine is by then; and a
    revocation is answered, and names the node that could not be asked."""
    machine, home = await settled_home(faults_team, faults_machines)
    async with browser(cluster.other(home), faults_team.owner.token) as elsewhere:
        await list_sessions(elsewhere, machine)
        cluster.node_at(home).freeze()
        assert await settled(list_sessions(elsewhere, machine), IN_FLIGHT_SECONDS + SLACK_SECONDS) == "unavailable"
        began = time.monotonic()
        owner = faults_team.owner.on(cluster.other(home))
        answer = await asyncio.to_thread(owner, "POST", f"/api/machines/{machine}/kick")
        took = time.monotonic() - began
        print(f"a kick beside a frozen node: {answer} after {took:.2f} s")
        assert took <= within(IN_FLIGHT_SECONDS + SLACK_SECONDS)
