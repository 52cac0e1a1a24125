"""Counts what passes through two nodes, and finds each frame once at each place that it passes."""

from __future__ import annotations

from uuid import uuid4

from relay.rules import frames, ids
from relay.rules.browser_messages import Attach
from relay.rules.frames import Header, Kind
from relay.rules.messages import After, Attaching
from tests.node.two_nodes import Between, attach

SESSION = str(uuid4())
PAYLOAD = b"sixteen bytes of"
FRAME_BYTES = frames.HEADER.size + len(PAYLOAD)


async def test_output_is_counted_once_in_and_once_for_each_who_gets_it() -> None:
    between = Between()
    near, far = between.near, between.far
    agent = far.agent(SESSION)
    for node in (near, near, near, far):
        await attach(node.browser(), node, agent, far, SESSION)
    for _ in range(2):
        far.says(agent, SESSION, PAYLOAD)
        await between.settled()
    here, there = far.router.fanout.traffic, near.router.fanout.traffic
    assert (here.agent_in, here.agent_in_bytes) == (2, 2 * FRAME_BYTES)
    assert (here.browser_out, here.node_out) == (2, 2)
    assert (there.node_in, there.browser_out) == (2, 6)
    assert there.browser_out_bytes == 3 * here.browser_out_bytes


async def test_frames_that_travel_joined_are_counted_one_by_one() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    await attach(between.near.browser(), between.near, agent, between.far, SESSION)
    for number in range(1, 6):
        header = Header(Kind.OUTPUT, 0, 0, 1, ids.raw(SESSION), number)
        between.far.router.fanout.from_agent(agent, frames.pack(header, PAYLOAD))
    between.far.router.fanout.flush()
    await between.settled()
    there = between.near.router.fanout.traffic
    assert (there.node_in, there.browser_out) == (5, 5)


async def test_typing_is_counted_on_its_way_to_the_machine() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    browser = between.near.browser()
    number = await attach(browser, between.near, agent, between.far, SESSION)
    typed = frames.pack(Header(Kind.INPUT, 0, number, 1, ids.raw(SESSION), 1), PAYLOAD)
    between.near.router.fanout.from_browser(browser, typed)
    await between.settled()
    here, there = between.near.router.fanout.traffic, between.far.router.fanout.traffic
    assert (here.browser_in, here.browser_in_bytes, here.node_out) == (1, FRAME_BYTES, 1)
    assert (there.node_in, there.agent_out, there.agent_out_bytes) == (1, 1, FRAME_BYTES)


async def test_a_browser_that_comes_back_is_told_apart_from_one_that_is_new() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    browser = between.near.browser()
    await attach(browser, between.near, agent, between.far, SESSION)
    outcomes = browser.outcomes
    assert (outcomes.attaches["done"], sum(outcomes.resumes.values())) == (1, 0)
    (attachment,) = browser.attachments.values()
    attachment.ask = Attach(ref=2, machine=agent.machine, session=SESSION, after=After(epoch=1, sequence=4))
    audience = between.near.hub.away[agent.raw, ids.raw(SESSION)].audience
    for recovered in (True, False):
        audience.hear(
            Attaching(
                session=SESSION,
                attachment=attachment.number,
                epoch=1,
                first=5,
                recovered=recovered,
                driver=False,
                columns=80,
                rows=24,
            )
        )
    assert outcomes.resumes == {"recovered": 1, "snapshot": 1}
    attachment.end("gap")
    attachment.end("gap")  # it has ended
    assert outcomes.ends == {"gap": 1}
