"""Shows that list, resolver and events agree about who is there, in the seconds that were promised."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from relay.client.connection import Connection
from relay.client.subscription import Subscription, follow
from relay.rules.browser_messages import MachineChanged
from relay.rules.machine import Machine
from relay.rules.messages import Message
from tests.support.cluster import Team
from tests.support.patience import within
from tests.support.screen import browser


class Diary:
    """Every state that a browser was told of, with the time at which it was told."""

    def __init__(self, connection: Connection, workspace: str) -> None:
        self.entries: list[tuple[float, Machine]] = []
        self.pictures: Subscription = follow(connection, workspace)
        original = self.pictures.on_message

        def on_message(message: Message) -> None:
            if isinstance(message, MachineChanged):
                self.entries.append((time.monotonic(), message.machine))
            original(message)

        self.pictures.on_message = on_message  # type: ignore[method-assign]

    def offline_times(self, machine: str) -> list[float]:
        """When the machine was said to have become offline, each change once."""
        states = [(at, entry.state) for at, entry in self.entries if entry.id == machine]
        return [
            at for i, (at, state) in enumerate(states) if state == "offline" and (not i or states[i - 1][1] != state)
        ]

    async def sees(self, machine: str, state: str, seconds: float) -> Machine:
        """Wait for a state."""
        async with asyncio.timeout(within(seconds)):
            picture = await self.pictures.until(lambda p: machine in p.machines and p.machines[machine].state == state)
        return picture.machines[machine]


def told_by_rest(team: Team, url: str, machine: dict[str, Any]) -> list[tuple[bool, str]]:
    """What list, resolver and the machine itself say at one node."""
    owner = team.owner.on(url)
    listed = owner("GET", f"/api/machines?workspace={team.workspace}")["machines"]
    found = [each for each in listed if each["id"] == machine["id"]]
    found.append(owner("GET", f"/api/resolve?q={machine['name']}&workspace={team.workspace}")["machine"])
    found.append(owner("GET", f"/api/machines/{machine['id']}"))
    return [(each["online"], each["state"]) for each in found]


async def settled(team: Team) -> None:
    """Wait until silence proves something again: half a minute after Redis began with nothing."""
    async with asyncio.timeout(40):
        while True:
            async with browser(team.owner.url, team.owner.token) as connection:
                if (await follow(connection, team.workspace).until(lambda p: p.whole)).settled:
                    return
            await asyncio.sleep(1)


async def test_an_agent_that_says_goodbye_is_offline_at_once(team: Team) -> None:
    """`closed`, on every node, within the time that a message takes."""
    agent = team.agent("leaving")
    machine = team.machine("leaving")
    assert (machine["online"], machine["state"], machine["connected"]) == (True, "live", True)
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        diary = Diary(connection, team.workspace)
        await diary.sees(machine["id"], "live", 5)
        assert agent.stop() == 0
        offline = await diary.sees(machine["id"], "offline", 5)
    assert offline.offline_reason == "closed"
    assert offline.pid is None
    for url in team.cluster.urls:
        assert set(told_by_rest(team, url, machine)) == {(False, "offline")}


@pytest.mark.xdist_group("real-time")  # on a cluster of its own, whose nodes and Redis nobody else stops meanwhile
@pytest.mark.timeout(150)
async def test_dropped_machines_are_offline_in_10_to_15_seconds_and_silent_ones_in_90_to_97(team: Team) -> None:
    """In real time, with two sweepers: each is announced exactly once, on both nodes."""
    dropped, silent = team.agent("dropped"), team.agent("silent")
    first, second = team.machine("dropped")["id"], team.machine("silent")["id"]
    async with (
        browser(team.cluster.urls[0], team.owner.token) as one,
        browser(team.cluster.urls[1], team.owner.token) as two,
    ):
        diaries = [Diary(one, team.workspace), Diary(two, team.workspace)]
        for diary in diaries:
            await diary.sees(second, "live", 5)
        silent.freeze()
        frozen_at = time.monotonic()
        last_beat_at = time.time() - team.machine("silent")["heartbeatAgeSeconds"] - 1
        await settled(team)
        dropped.kill()
        killed_at = time.monotonic()
        for diary in diaries:
            gone = await diary.sees(first, "offline", 20)
            assert gone.offline_reason == "dropped"
        for diary in diaries:
            gone = await diary.sees(second, "offline", 110)
            assert gone.offline_reason == "silent"
        took = time.time() - last_beat_at
        assert 90 <= took <= 97 + within(1.0), f"offline after {took:.1f} s"
        for diary in diaries:
            assert [10 <= at - killed_at <= 14 + within(1.0) for at in diary.offline_times(first)] == [True]
            assert [at - frozen_at <= 97 + within(1.0) for at in diary.offline_times(second)] == [True]


# Elsewhere than the revocations, which ask every living node: after a flush nobody knows them all for a while.
@pytest.mark.xdist_group("real-time")
async def test_a_flushed_redis_makes_no_machine_offline(team: Team) -> None:
    """The relay's trouble is not the machine's: one flush later all is as before, and nobody was told otherwise."""
    agent = team.agent("steady")
    machine = team.machine("steady")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        diary = Diary(connection, team.workspace)
        await diary.sees(machine["id"], "live", 5)
        team.cluster.valkey.empty()
        for url in team.cluster.urls:
            assert all(online for online, _state in told_by_rest(team, url, machine))
        deadline = time.monotonic() + within(15)
        while told_by_rest(team, team.owner.url, machine)[0][1] != "live":
            assert time.monotonic() < deadline, "the machine did not come back by itself"
            await asyncio.sleep(0.2)
        assert diary.offline_times(machine["id"]) == []
    assert agent.output().count("  connected  node=") == 1


async def test_draining_a_node_moves_its_agents_and_no_machine_is_offline_for_it(team: Team) -> None:
    """SIGTERM: readiness goes red, everybody is told 4200, and comes back elsewhere."""
    agent = team.agent("moved")
    machine = team.machine("moved")
    node, other = agent.node, team.cluster.other(agent.node)
    async with browser(other, team.owner.token) as connection:
        diary = Diary(connection, team.workspace)
        await diary.sees(machine["id"], "live", 5)
        part = team.cluster.node_at(node)
        assert part.stop() == 0
        agent.says(f"  connected  node={other}")
        assert set(told_by_rest(team, other, machine)) == {(True, "live")}
        assert diary.offline_times(machine["id"]) == []
        part.start_again()
        team.cluster.wait_ready(node)
