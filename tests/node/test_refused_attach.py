"""Shows what becomes of an attach that the agent refuses, on its own node and on another."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.node.agent import Agent
from relay.node.browser import Attachment, Browser
from relay.rules.agent_messages import AttachRefused
from relay.rules.browser_messages import Attach
from tests.node.two_nodes import Between, peer


@pytest.mark.parametrize("far", [False, True], ids=["on the agent's node", "on another node"])
async def test_a_refused_attach_is_answered_under_its_ref_and_leaves_nothing_behind(far: bool) -> None:
    """Whoever asked would wait for half a minute otherwise, and the number would stay taken."""
    between, agent, browser = await _asked(far)
    (attach,) = peer(agent).heard("attach")
    refusal = AttachRefused(session=attach["session"], attachment=attach["attachment"], message="not kept any more")
    between.near.router.sessions.told(agent, refusal)
    await peer(browser).until(lambda: peer(browser).heard("error"))
    (error,) = peer(browser).heard("error")
    assert (error["ref"], error["code"], error["message"]) == (5, "not-found", "not kept any more")
    assert browser.attachments == {}
    assert between.far.hub.away == {}
    assert [route.holders for route in agent.sessions.values()] == [{}]


@pytest.mark.parametrize("far", [False, True], ids=["on the agent's node", "on another node"])
async def test_an_attach_whose_machine_or_lane_is_lost_before_it_is_answered_is_refused_at_once(far: bool) -> None:
    """Whoever waits for its number knows nothing of a number that is over."""
    between, agent, browser = await _asked(far)
    between.near.router.agent_left(agent)
    await peer(browser).until(lambda: peer(browser).heard("error"))
    (error,) = peer(browser).heard("error")
    assert (error["ref"], error["code"]) == (5, "unavailable")
    assert peer(browser).heard("detached") == []
    assert browser.attachments == {}


async def _asked(far: bool) -> tuple[Between, Agent, Browser]:
    """A session of an agent, and a browser there or on another node whose attach has reached the agent."""
    between, session = Between(), str(uuid4())
    agent = between.near.agent(session)
    here = between.far if far else between.near
    browser = here.browser()

    async def anybody(attachment: Attachment) -> None:
        """Everybody may."""

    ask = Attach(ref=5, machine=agent.machine, session=session)
    attaching = asyncio.create_task(here.router.attach(browser, agent.workspace, ask, anybody))
    await peer(agent).until(lambda: peer(agent).heard("attach"))
    await attaching
    return between, agent, browser
