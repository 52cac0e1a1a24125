"""Shows whom a draining node asks to move and whom it closes, in which order, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest

from relay.errors import Close, Unavailable
from relay.node.agent import Agent
from relay.node.browser import Browser
from relay.node.drain import Drain
from relay.node.hub import Hub
from relay.rules.access import Identity

WAIT_SECONDS = 10.0
ELSEWHERE = ["http://elsewhere"]
JANE = Identity(kind="person", id="jane", name="jane", credential="token", roles={}, workspaces={})


class Membership:
    """The cluster, of which the node that drains is told."""

    def __init__(self, others: list[str]) -> None:
        self._others = others
        self.draining = False
        self.answers = True
        self.told = asyncio.Event()

    async def renew(self) -> None:
        """Redis is told, if it answers."""
        self.told.set()
        if not self.answers:
            raise Unavailable("no Redis")

    def others(self) -> list[str]:
        """Where peers may go."""
        return self._others


class Socket:
    """A connection whose peer leaves when it is told to."""

    def __init__(self, log: list[tuple[str, str]], name: str) -> None:
        self.leave: Callable[[], None] = lambda: None
        self._log = log
        self._name = name

    def send_text(self, data: bytes) -> bool:
        """Note what it is told."""
        told = json.loads(data)
        assert told["type"] == "move"
        assert told["nodes"] == ELSEWHERE
        self._log.append((self._name, "move"))
        return True

    def close(self, code: Close) -> None:
        """Note the code, and let the peer leave."""
        self._log.append((self._name, str(int(code))))
        self.leave()


class Scene:
    """A hub with peers, and what happened to them."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.log: list[tuple[str, str]] = []
        self.membership = Membership(ELSEWHERE)
        self.drain = Drain(self.hub, cast(Any, self.membership))

    def agent(self, name: str, *, admitted: bool = True) -> Socket:
        """An agent, let in already or knocking."""
        socket, machine = Socket(self.log, name), str(uuid4())
        agent = Agent(cast(Any, socket), "w", machine, cast(Any, None), 0.0)
        agent.admitted = admitted
        if admitted:
            self.hub.agents[machine] = agent
            socket.leave = lambda: cast(None, self.hub.agents.pop(machine, None))
        else:
            self.hub.knocking.add(agent)
            socket.leave = lambda: self.hub.knocking.discard(agent)
        return socket

    def browser(self, name: str) -> None:
        """A browser."""
        socket = Socket(self.log, name)
        browser = Browser(cast(Any, socket), JANE, "claim")
        self.hub.browsers.add(browser)
        socket.leave = lambda: self.hub.browsers.discard(browser)

    async def drained(self, seconds: float) -> None:
        """Drain, to the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.drain.run(seconds)


@pytest.fixture
def scene() -> Scene:
    """Nobody yet."""
    return Scene()


async def test_agents_are_asked_to_move_then_closed_and_browsers_come_last(scene: Scene) -> None:
    scene.browser("page")
    for name in ("one", "two"):
        scene.agent(name)
    await scene.drained(0.1)
    assert scene.membership.draining
    assert [entry for entry in scene.log if entry[0] == "one"] == [("one", "move"), ("one", "4200")]
    assert [entry for entry in scene.log if entry[0] == "two"] == [("two", "move"), ("two", "4200")]
    assert scene.log[-1] == ("page", "4200")


async def test_an_agent_that_was_knocking_is_not_missed_and_not_spoken_to_before_its_welcome(scene: Scene) -> None:
    scene.agent("knocking", admitted=False)
    await scene.drained(0.1)
    assert scene.log == [("knocking", "4200")]


async def test_whoever_slips_in_during_the_drain_is_sent_away_at_its_end(scene: Scene) -> None:
    socket = scene.agent("early")
    leave = socket.leave

    def leaves_and_somebody_comes() -> None:
        leave()
        scene.agent("late")
        scene.browser("page")

    socket.leave = leaves_and_somebody_comes
    await scene.drained(0.0)
    assert [entry for entry in scene.log if entry[1] == "4200"] == [
        ("early", "4200"),
        ("late", "4200"),
        ("page", "4200"),
    ]


async def test_nobody_is_asked_to_move_where_there_is_nowhere_to_go(scene: Scene) -> None:
    scene.membership = Membership([])
    scene.drain = Drain(scene.hub, cast(Any, scene.membership))
    scene.agent("one")
    await scene.drained(0.0)
    assert scene.log == [("one", "4200")]


async def test_a_redis_that_does_not_answer_keeps_nobody_here(scene: Scene) -> None:
    scene.membership.answers = False
    scene.agent("one")
    await scene.drained(0.0)
    assert scene.log[-1] == ("one", "4200")


async def test_haste_closes_everybody_now_with_the_same_goodbye(scene: Scene) -> None:
    for name in ("one", "two"):
        scene.agent(name)
    scene.browser("page")
    draining = asyncio.create_task(scene.drain.run(3_600.0))
    await scene.membership.told.wait()
    scene.drain.hurry()
    async with asyncio.timeout(WAIT_SECONDS):
        await draining
    assert {name for name, what in scene.log if what == "4200"} == {"one", "two", "page"}


async def test_a_peer_that_does_not_leave_holds_up_somebody_in_a_hurry_for_a_moment_only(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.node.drain.HURRIED_SECONDS", 0.05)
    scene.agent("stubborn").leave = lambda: None
    scene.drain.hurry()
    await scene.drained(3_600.0)
    assert len(scene.hub.agents) == 1
