"""Shows that an attach which waits for a dead node goes where its machine is as soon as that is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from relay.errors import Unavailable
from relay.node.agent import Agent
from relay.node.attachments import FOLLOWED
from relay.node.browser import Attachment, Browser
from relay.rules.browser_messages import Attach
from relay.rules.presence import Fence
from tests.node.two_nodes import Between, Node, peer

SESSION = str(uuid4())


class Scene(NamedTuple):
    """A browser of the far node that waits for the near one, which takes nothing any more."""

    between: Between
    near: Node
    far: Node
    agent: Agent
    browser: Browser
    attaching: asyncio.Task[None]

    def back_at(self, node: Node) -> Agent:
        """The machine comes back on this node."""
        newer = Agent(type(peer(self.agent))(), self.agent.workspace, self.agent.machine, self.agent.hello, 0.0)
        newer.fence = Fence(1, self.agent.generation + 1, "another connection")
        node.router.agent_admitted(newer)
        return newer


async def anybody(attachment: Attachment) -> None:
    """Everybody may."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    between = Between()
    near, far = between.near, between.far
    agent, browser = near.agent(SESSION), far.browser()
    between.still = near
    ask = Attach(ref=1, machine=agent.machine, session=SESSION)
    attaching = asyncio.create_task(far.router.attach(browser, agent.workspace, ask, anybody))
    await between.settled()
    assert far.router.attachments.awaits(agent.machine)
    yield Scene(between, near, far, agent, browser, attaching)
    attaching.cancel()
    await asyncio.wait([attaching])


async def test_a_machine_that_came_back_on_the_browsers_own_node_is_attached_to_there(scene: Scene) -> None:
    newer = scene.back_at(scene.far)
    scene.far.router.attachments.moved(scene.agent.machine, scene.far.boot)
    await scene.attaching
    assert [each["session"] for each in peer(newer).heard("attach")] == [SESSION]
    assert len(scene.browser.attachments) == 1
    assert not scene.browser.asking
    assert not scene.far.router.attachments.awaits(scene.agent.machine)


async def test_the_answer_of_a_node_that_was_given_up_is_given_back_when_it_comes_all_the_same(scene: Scene) -> None:
    """It had only stood still, with the machine's older connection."""
    newer = scene.back_at(scene.far)
    scene.far.router.attachments.moved(scene.agent.machine, scene.far.boot)
    await scene.attaching
    scene.between.go_on()
    await scene.between.settled()
    assert len(peer(scene.agent).heard("attach")) == len(peer(scene.agent).heard("detach")) == 1
    assert peer(newer).heard("detach") == []
    assert [attachment.home for attachment in scene.browser.attachments.values()] == [None]


async def test_who_waits_for_the_node_that_the_machine_is_on_goes_on_waiting(scene: Scene) -> None:
    scene.far.router.attachments.moved(scene.agent.machine, scene.near.boot)
    await scene.between.settled()
    assert not scene.attaching.done()
    scene.between.go_on()
    await scene.attaching
    assert len(scene.browser.attachments) == 1


async def test_a_machine_that_goes_from_node_to_node_is_not_followed_for_ever(scene: Scene) -> None:
    for _ in range(FOLLOWED):
        assert not scene.attaching.done()
        scene.far.router.attachments.moved(scene.agent.machine, str(uuid4()))
        await scene.between.settled()
    with pytest.raises(Unavailable, match="from node to node"):
        await scene.attaching
    assert not scene.browser.asking


async def test_a_browser_that_left_meanwhile_is_not_brought_anywhere(scene: Scene) -> None:
    newer = scene.back_at(scene.far)
    scene.far.router.browser_left(scene.browser)
    scene.far.router.attachments.moved(scene.agent.machine, scene.far.boot)
    await asyncio.wait([scene.attaching])
    assert scene.attaching.exception() is not None
    assert peer(newer).heard("attach") == []


async def test_what_is_left_of_an_attach_to_a_dead_node_is_in_nobodys_way(scene: Scene) -> None:
    """The machine came back before this node knew that the other one is dead, and counts from one again."""
    scene.between.go_on()
    await scene.attaching
    scene.between.still = scene.near
    newer = scene.back_at(scene.far)
    ask = Attach(ref=2, machine=scene.agent.machine, session=SESSION)
    await scene.far.router.attach(scene.browser, scene.agent.workspace, ask, anybody)
    assert peer(newer).heard("attach")[-1]["session"] == SESSION
    assert [each.home for each in scene.browser.attachments.values()] == [None]


async def test_nor_is_it_when_the_machine_came_back_on_a_third_node(scene: Scene) -> None:
    scene.between.go_on()
    await scene.attaching
    [(where, away)] = scene.far.hub.away.items()
    [older] = scene.browser.attachments.values()
    older.home = away.home = "a node that died"
    newer = scene.back_at(scene.near)
    assert scene.browser.attachments, "nobody has told it"
    ask = Attach(ref=2, machine=scene.agent.machine, session=SESSION)
    await scene.far.router.attach(scene.browser, scene.agent.workspace, ask, anybody)
    assert len(peer(newer).heard("attach")) == 1
    assert [each.home for each in scene.browser.attachments.values()] == [scene.near.boot]
    assert scene.far.hub.away[where].generation == newer.generation
