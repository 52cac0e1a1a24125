"""Shows what a node believes, tells and closes when its process stood still for a while and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from relay.errors import Close
from relay.node.agent import Agent
from relay.node.beats import Beats
from relay.node.hub import Hub
from relay.node.meters import Meters
from relay.node.standstill import STANDSTILL_SECONDS, UNDATED_SECONDS, Standstill, suspended_seconds
from relay.rules.presence import Fence, Info
from relay.store import Beat, Flushed, Lost, Reannouncement
from tests.node.two_nodes import Peer

FROZEN_SECONDS = 120.0


class Closing(Peer):
    """A socket that notes how it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[Close] = []

    def close(self, code: Close) -> None:
        """Note the code."""
        self.closed.append(code)


class Redis:
    """Takes beats, and says which of them are somebody else's by now."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.lost: list[Lost] = []
        self.back: list[Reannouncement] = []

    async def beat(self, node: str, beats: Iterable[Beat]) -> Flushed:
        """Note them."""
        self.beats = list(beats)
        return Flushed(self.lost, frozenset())

    def shard(self, workspace: str) -> int:
        """All in one."""
        return 0

    async def reannounce(self, node: str, upto: int, machines: Sequence[Reannouncement]) -> list[Lost]:
        """Note them."""
        self.back = list(machines)
        return []


class Scene:
    """A node with agents on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        self.hub, self.redis = Hub(), Redis()

        async def load(workspace: str) -> int:
            return 0

        self.asleep = 0.0
        monkeypatch.setattr("relay.node.beats.Standstill", lambda: Standstill(lambda: self.asleep))
        meters = Meters(CollectorRegistry())
        self.beats = Beats("boot", self.hub, cast(Any, self.redis), lambda agent: Info(), load, meters)

    def agent(self) -> tuple[Agent, Closing]:
        """One that was heard now, of which Redis knows."""
        machine, socket = str(uuid4()), Closing()
        agent = Agent(socket, "workspace", machine, cast(Any, None), self.now)
        agent.fence = Fence(1, 7, machine)
        self.hub.agents[machine] = agent
        return agent, socket

    async def second(self, seconds: float = 1.0) -> None:
        """The clock of the node goes on, and it looks."""
        self.now += seconds
        self.beats.standstill.look(self.now)

    async def told(self) -> dict[str, int]:
        """Flush; by machine how many seconds ago Redis is told that it was heard."""
        await self.beats.flush()
        return {beat.machine: round(beat.age_ms / 1000) for beat in self.redis.beats}


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Nobody is there; the node has been looking for a while."""
    scene = Scene(monkeypatch)
    await scene.second()
    return scene


async def test_what_waited_in_its_sockets_does_not_make_a_machine_look_alive(scene: Scene) -> None:
    agent, _ = scene.agent()
    scene.now += FROZEN_SECONDS
    agent.heard = scene.now  # a beat of two minutes ago is read before anything else happens
    assert await scene.told() == {agent.machine: int(FROZEN_SECONDS)}
    await scene.second()
    agent.heard = scene.now  # and another
    assert await scene.told() == {}
    await scene.second(UNDATED_SECONDS)
    agent.heard = scene.now
    assert await scene.told() == {agent.machine: 0}


async def test_everybodys_fence_is_compared_once_whoever_was_heard(scene: Scene) -> None:
    agents = {scene.agent()[0].machine for _ in range(3)}
    assert await scene.told() == {}
    scene.now += FROZEN_SECONDS
    assert (await scene.told()).keys() == agents
    assert await scene.told() == {}


async def test_if_redis_does_not_answer_then_everybody_is_compared_with_the_next_flush(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, _ = scene.agent()
    scene.now += FROZEN_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(scene.redis, "beat", None)
        with pytest.raises(TypeError):
            await scene.beats.flush()
    assert await scene.told() == {agent.machine: int(FROZEN_SECONDS)}


async def test_an_agent_that_moved_meanwhile_is_closed_and_may_find_out_where_it_belongs(scene: Scene) -> None:
    agent, socket = scene.agent()
    scene.now += FROZEN_SECONDS
    scene.redis.lost = [Lost("workspace", agent.machine, "replaced", Fence(1, 8, "elsewhere"))]
    await scene.told()
    assert socket.closed == [Close.DRAINING]


async def test_a_machine_that_redis_forgot_is_put_back_as_of_when_it_was_heard_for_certain(scene: Scene) -> None:
    agent, _ = scene.agent()
    assert agent.fence is not None
    scene.now += FROZEN_SECONDS
    agent.heard = scene.now
    scene.redis.lost = [Lost("workspace", agent.machine, "unknown", agent.fence)]
    await scene.told()
    assert [round(each.age_ms / 1000) for each in scene.redis.back] == [int(FROZEN_SECONDS)]


async def test_what_a_node_heard_before_its_host_slept_is_told_with_the_time_that_it_slept(scene: Scene) -> None:
    """The clock of the loop knows nothing of it."""
    agent, _ = scene.agent()
    agent.heard = scene.now + 0.5
    await scene.second()
    scene.asleep += FROZEN_SECONDS
    scene.now += 1.0
    assert await scene.told() == {agent.machine: round(FROZEN_SECONDS + 1.5)}
    await scene.second(UNDATED_SECONDS + 1)
    agent.heard = scene.now
    assert await scene.told() == {agent.machine: 0}


async def test_what_is_read_right_after_the_host_slept_may_have_been_said_before(scene: Scene) -> None:
    agent, _ = scene.agent()
    scene.asleep += FROZEN_SECONDS
    agent.heard = scene.now + 0.5
    scene.now += 1.0
    assert await scene.told() == {agent.machine: int(FROZEN_SECONDS) + 1}


def test_this_host_tells_for_how_long_it_was_suspended_and_that_stands_still_while_it_is_not() -> None:
    before = suspended_seconds()
    assert before >= 0.0
    assert suspended_seconds() - before < 1.0


def test_where_the_system_does_not_tell_a_sleep_goes_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("time.CLOCK_BOOTTIME", raising=False)
    assert suspended_seconds() == 0.0


def test_a_pause_as_they_happen_is_no_standstill() -> None:
    standstill = Standstill(lambda: 0.0)
    assert not standstill.look(1_000.0)
    assert not standstill.look(1_000.0 + STANDSTILL_SECONDS)
    assert standstill.dated(1_001.0)
    assert standstill.look(1_005.0 + STANDSTILL_SECONDS)
    assert (standstill.dated(1_004.0), standstill.dated(1_004.1), standstill.count) == (True, False, 1)
