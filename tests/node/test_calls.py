"""Shows that a question to another node is answered, or fails soon when that node is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from relay.errors import Conflict, TimedOut, Unavailable
from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Attachment
from relay.node.calls import Calls
from relay.rules.agent_messages import Answer
from relay.rules.browser_messages import Attach
from relay.rules.messages import Operator
from relay.rules.timing import LANE_LATE_SECONDS, REQUEST_SECONDS
from tests.node.two_nodes import WAIT_SECONDS, Between, Node, peer

OPERATOR = Operator(user="jane")
SESSION = str(uuid4())


@pytest.fixture
async def between() -> Between:
    """Two nodes that have nothing to do with each other yet."""
    return Between()


@asynccontextmanager
async def asking(node: Node, agent: Agent) -> AsyncIterator[asyncio.Task[dict[str, Any]]]:
    """Somebody at a node asks a machine of the other for its sessions; less time passes than the machine has."""
    task = asyncio.create_task(node.router.ask(agent.workspace, agent.machine, "sessions", OPERATOR, {}))
    async with asyncio.timeout(WAIT_SECONDS):
        assert WAIT_SECONDS < REQUEST_SECONDS
        yield task


async def asked(agent: Agent) -> int:
    """Wait until the machine has the question; its reference."""
    await peer(agent).until(lambda: peer(agent).heard("request"))
    return int(peer(agent).heard("request")[0]["ref"])


async def test_a_question_is_answered_through_the_machines_node(between: Between) -> None:
    agent = between.far.agent()
    async with asking(between.near, agent) as answer:
        between.far.router.requests.answered(agent, Answer(ref=await asked(agent), result={"fine": True}))
        assert await answer == {"fine": True}


async def test_an_error_of_the_machine_is_the_answer(between: Between) -> None:
    agent = between.far.agent()
    async with asking(between.near, agent) as answer:
        error = Conflict("no").body()
        between.far.router.requests.answered(agent, Answer(ref=await asked(agent), error=error))
        with pytest.raises(Conflict):
            await answer


async def test_a_question_to_a_node_that_is_gone_is_unavailable_at_once_and_not_after_30_seconds(
    between: Between,
) -> None:
    between.deaf = between.far
    async with asking(between.near, between.far.agent()) as answer:
        with pytest.raises(Unavailable, match="does not answer"):
            await answer


async def test_an_attach_to_a_node_that_is_gone_is_unavailable_and_leaves_nothing(between: Between) -> None:
    between.deaf = between.far
    agent, browser = between.far.agent(SESSION), between.near.browser()

    async def anybody(attachment: Attachment) -> None:
        """Everybody may."""

    ask = Attach(ref=1, machine=agent.machine, session=SESSION)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(Unavailable, match="does not answer"):
            await between.near.router.attach(browser, agent.workspace, ask, anybody)
    assert (browser.attachments, browser.asking) == ({}, set())


async def test_a_number_that_comes_right_behind_the_loss_of_its_node_is_given_back(between: Between) -> None:
    """Both are in one batch. Kept, it would bring its browser every frame once more, beside the attach that follows."""
    agent, browser = between.far.agent(SESSION), between.near.browser()

    async def anybody(attachment: Attachment) -> None:
        """Everybody may."""

    between.deaf = between.near
    ask = Attach(ref=1, machine=agent.machine, session=SESSION)
    attaching = asyncio.create_task(between.near.router.attach(browser, agent.workspace, ask, anybody))
    await peer(agent).until(lambda: peer(agent).heard("attach"))
    between.deaf = None
    attachments = between.near.router.attachments
    attachments.lane_broken(between.far.boot)
    between.near.router.hop_arrived(between.far.boot, hops.NumberedHop(call=1, attachment=1, generation=7))
    with pytest.raises(Unavailable, match="was lost"):
        await attaching
    assert (browser.attachments, browser.asking, peer(browser).told) == ({}, set(), [])
    await peer(agent).until(lambda: peer(agent).heard("detach"))


async def test_an_answer_that_comes_as_the_time_runs_out_counts_and_one_behind_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it brought is in place by then, so that an error would contradict it."""
    calls, loop = Calls(), asyncio.get_running_loop()
    passed, now = 0.0, loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    in_time, late = calls.begin("there"), calls.begin("there")
    asked = [asyncio.create_task(calls.outcome(number)) for number in (in_time, late)]
    await asyncio.sleep(0)
    for number in (in_time, late):
        calls.taken(number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # both wait for their answers, and for the end of their time
    waited: list[bool] = []
    loop.call_later(0, calls.answer, in_time, {"fine": True})
    loop.call_later(2 * REQUEST_SECONDS, lambda: waited.append(calls.waits(late)))
    passed = 3 * REQUEST_SECONDS  # all of it is due at the next turn of the loop, in its order
    assert await asked[0] == {"fine": True}
    with pytest.raises(TimedOut):
        await asked[1]
    assert waited == [False]


async def test_a_question_whose_node_dies_before_the_machine_answers_fails_within_seconds(between: Between) -> None:
    """Also when nothing else connects the two nodes, so that only the question makes one miss the other."""
    agent = between.far.agent()
    async with asking(between.near, agent) as answer:
        await asked(agent)
        await between.settled()
        between.still = between.far
        for _ in range(int(LANE_LATE_SECONDS) + 2):
            await between.second()
        with pytest.raises(Unavailable, match="was lost"):
            await answer


async def test_a_machine_may_take_its_time_on_a_node_that_lives(between: Between) -> None:
    """However long the two nodes had nothing to do with each other before."""
    agent = between.far.agent()
    async with asking(between.near, agent) as first:
        between.far.router.requests.answered(agent, Answer(ref=await asked(agent), result={}))
        await first
    between.clock.seconds += 300
    peer(agent).told.clear()
    async with asking(between.near, agent) as answer:
        ref = await asked(agent)
        for _ in range(25):
            await between.second()
        assert not answer.done()
        between.far.router.requests.answered(agent, Answer(ref=ref, result={"fine": True}))
        assert await answer == {"fine": True}


async def test_a_question_whose_node_dies_after_it_took_it_fails_within_two_seconds(between: Between) -> None:
    agent = between.far.agent()
    async with asking(between.near, agent) as answer:
        await asked(agent)
        await between.settled()
        between.still = between.far
        for _ in range(2):
            assert not answer.done()
            await between.second()
        with pytest.raises(Unavailable, match="was lost"):
            await answer


async def test_a_node_that_was_late_itself_does_not_take_the_other_for_dead(between: Between) -> None:
    """What the other said meanwhile waits to be read."""
    agent = between.far.agent()
    async with asking(between.near, agent) as answer:
        ref = await asked(agent)
        await between.settled()
        between.still = between.near
        for seconds in (1.0, 2.5):
            between.clock.seconds += seconds
            between.near.router.tick(between.clock.seconds, repeat_interest=False)
            await between.settled()
        between.go_on()
        assert not answer.done()
        between.far.router.requests.answered(agent, Answer(ref=ref, result={"fine": True}))
        assert await answer == {"fine": True}


async def test_a_node_that_is_asked_whether_it_lives_says_so_at_once(between: Between) -> None:
    """And not when it looks next itself, which may be a second later."""
    agent = between.far.agent()
    async with asking(between.near, agent):
        await asked(agent)
        await between.settled()
        before = between.near.lanes.latest(between.far.boot)
        between.near.router.tick(between.clock.seconds, repeat_interest=False)
        await between.settled()
        assert between.near.lanes.latest(between.far.boot) == before + 1
