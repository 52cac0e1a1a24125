"""Shows that nobody waits for attachments whose node is not heard any more, and how they come back."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Browser
from relay.rules import ids
from relay.rules.timing import LANE_LATE_SECONDS, LANE_TICK_SECONDS
from tests.node.two_nodes import Between, Node, attach, peer

SESSION = str(uuid4())
NOTICED_SECONDS = round(LANE_LATE_SECONDS + LANE_TICK_SECONDS)


class Scene(NamedTuple):
    """An agent on the near node, a browser there, and one of the far node; both are attached to its session."""

    between: Between
    near: Node
    far: Node
    agent: Agent
    here: Browser
    there: Browser

    @property
    def left(self) -> list[dict[str, Any]]:
        """What the agent was told of attachments that left."""
        return peer(self.agent).heard("detach")

    async def pass_by(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            await self.between.second()


@pytest.fixture
async def scene() -> Scene:
    between = Between()
    near, far = between.near, between.far
    made = Scene(between, near, far, near.agent(SESSION), near.browser(), far.browser())
    await attach(made.there, far, made.agent, near, SESSION)
    await attach(made.here, near, made.agent, near, SESSION)
    await between.second()
    return made


@pytest.mark.parametrize("deaf", ["near", "far", "both"])
async def test_an_agent_is_told_within_four_seconds_that_a_node_cannot_be_reached(scene: Scene, deaf: str) -> None:
    """Whichever way is cut; who is attached on the agent's own node stays."""
    (number,) = [number for _session, number in scene.there.attachments]
    if deaf == "both":
        scene.between.cut = True
    else:
        scene.between.deaf = getattr(scene, deaf)
    await scene.pass_by(NOTICED_SECONDS - 2)
    assert scene.left == []
    await scene.pass_by(2)
    assert [(each["attachment"], each["dropped"], each["away"]) for each in scene.left] == [(number, True, True)]
    assert len(scene.here.attachments) == len(scene.agent.sessions[ids.raw(SESSION)].holders) == 1
    await scene.pass_by(NOTICED_SECONDS)
    assert len(scene.left) == 1


async def test_when_the_way_is_back_its_browsers_attach_again(scene: Scene) -> None:
    scene.between.deaf = scene.near  # so that the far node misses nothing, and has to be told
    await scene.pass_by(NOTICED_SECONDS)
    scene.between.deaf = None
    assert [each["reason"] for each in peer(scene.there).heard("detached")] == ["gap"]
    await attach(scene.there, scene.far, scene.agent, scene.near, SESSION)
    scene.near.says(scene.agent, SESSION, b"again")
    await scene.between.settled()
    assert [each[-5:] for each in peer(scene.there).frames] == [b"again"]


async def test_a_single_batch_that_is_lost_makes_nobody_unreachable(scene: Scene) -> None:
    """Its browsers come back for what they missed, and the source waits for the driver meanwhile."""
    scene.between.deaf = scene.near
    await scene.pass_by(1)
    scene.between.deaf = None
    await scene.pass_by(1)
    assert [each["reason"] for each in peer(scene.there).heard("detached")] == ["gap"]
    assert [(each["dropped"], each.get("away", False)) for each in scene.left] == [(True, False)]


async def test_a_node_of_the_version_before_says_that_attachments_dropped_and_is_taken_at_its_word(
    scene: Scene,
) -> None:
    (number,) = [number for _session, number in scene.there.attachments]
    machine, generation = scene.agent.machine, scene.agent.generation
    said = hops.DetachHop(machine=machine, generation=generation, session=SESSION, attachment=number, dropped=True)
    assert b"away" not in hops.encode(said)  # as that version has no such word
    scene.near.router.hop_arrived(scene.far.boot, hops.decode(hops.encode(said)))
    assert [each.get("away", False) for each in scene.left] == [False]
