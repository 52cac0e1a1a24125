"""Follows what a person does from their browser over two nodes into the machine, as one trace."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from relay.errors import Close, RelayError
from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Attachment, Browser
from relay.rules import ids
from relay.rules.browser_messages import Attach
from relay.rules.limits import PENDING_PER_BROWSER
from relay.rules.messages import Operator
from relay.traces import UNTOLD, Traces, trace_of
from tests.monitoring.recorded import Recorded, served
from tests.node.two_nodes import Between, Node, attach, peer

JANE = Operator(user="Jane", client="laptop")
SESSION = str(uuid4())
OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # a step of somebody who uses the relay
ATTACH = ["request attach", "machine attach", "agent attach"]


def person(node: Node) -> Browser:
    """Somebody's browser that said hello."""
    browser = node.browser()
    browser.client = "a-client-id"
    return browser


async def anybody(attachment: Attachment) -> None:
    """Everybody may."""


async def run(node: Node, agent: Agent, browser: Browser, carried: str = "") -> str:
    """Run a command on the machine as `relay exec` does, through this node; the session."""
    span = node.router.requests.begin(agent.machine, "open", carried)
    body = {"kind": "exec", "command": ["true"]}
    result = await node.router.ask(agent.workspace, agent.machine, "open", JANE, body, span)
    browser.opened(result, span)
    session = result["session"]
    assert isinstance(session, dict)
    return str(session["id"])


async def watch(node: Node, agent: Agent, browser: Browser, session: str, carried: str = "") -> None:
    """Attach to it, and wait until that is answered."""
    ask = Attach(ref=1, machine=agent.machine, session=session, traceparent=carried)
    await node.router.attach(browser, agent.workspace, ask, anybody)
    await peer(browser).until(lambda: peer(browser).heard("attaching"))


async def test_an_attach_is_one_trace_from_the_browsers_node_into_the_machine(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded(between)
    async with served(between.far, tmp_path, recorded) as agent:
        browser = person(between.near)
        session = await run(between.near, agent, person(between.near))
        await watch(between.near, agent, browser, session)
    assert recorded.way("agent attach") == ATTACH
    told = recorded.spans()["machine attach"].attributes
    assert told is not None
    assert (told["relay.machine"], told["relay.session"]) == (agent.machine, session)
    assert (told["relay.connection"], told["relay.workspace"]) == ("connection", "workspace")
    assert recorded.failures() == {}


async def test_a_command_is_one_trace_its_start_and_its_output(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded(between)
    async with served(between.far, tmp_path, recorded) as agent:
        browser = person(between.near)
        session = await run(between.near, agent, browser)
        await watch(between.near, agent, browser, session)
    assert recorded.way("agent open") == ["request open", "machine open", "agent open"]
    assert recorded.way("agent attach") == ["request open", *ATTACH]


async def test_who_attaches_again_begins_a_trace_of_their_own(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded(between)
    async with served(between.far, tmp_path, recorded) as agent:
        browser = person(between.near)
        session = await run(between.near, agent, browser)
        await watch(between.near, agent, browser, session)
        recorded.kept.clear()
        await watch(between.near, agent, browser, session)
    assert recorded.spans()["request attach"].parent is None


async def test_a_trace_that_began_outside_goes_on_in_the_machine(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded(between)
    async with served(between.far, tmp_path, recorded) as agent:
        browser = person(between.near)
        session = await run(between.near, agent, browser, OUTSIDE)
        await watch(between.near, agent, browser, session, OUTSIDE)
    traces = {f"{span.context.trace_id:032x}" for span in recorded.kept.get_finished_spans()}
    assert traces == {trace_of(OUTSIDE)}


async def test_a_machine_of_the_same_node_is_traced_alike(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded(between)
    async with served(between.near, tmp_path, recorded) as agent:
        session = await run(between.near, agent, person(between.near))
        await watch(between.near, agent, person(between.near), session)
    assert recorded.way("agent attach") == ATTACH


async def test_nodes_that_record_nothing_pass_on_what_they_were_told(tmp_path: Path) -> None:
    between = Between()
    recorded = Recorded()
    async with served(between.far, tmp_path, recorded) as agent:
        session = await run(between.near, agent, person(between.near))
        browser = person(between.near)
        await watch(between.near, agent, browser, session, OUTSIDE)
    parent = recorded.spans()["agent attach"].parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == OUTSIDE.split("-")[2]


async def test_without_traces_an_attach_carries_nothing_more_than_before() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    await attach(person(between.near), between.near, agent, between.far, SESSION)
    (asked,) = peer(agent).heard("attach")
    assert "traceparent" not in asked


async def test_a_node_of_before_asks_for_an_attach_as_ever() -> None:
    between = Between()
    recorded = Recorded(between)
    agent = between.far.agent(SESSION)
    hop = hops.AttachHop(
        call=1, machine=agent.machine, session=SESSION, client="a-client-id", mode="watch", operator=JANE
    )
    assert b"trace" not in hops.encode(hop)
    between.far.router.sessions.attach_from(between.near.boot, hop)
    (asked,) = peer(agent).heard("attach")
    between.far.router.agent_left(agent)
    assert trace_of(asked["traceparent"])
    assert recorded.failures() == {"machine attach": "unavailable"}


async def test_an_attach_that_is_refused_says_so_in_each_step_of_the_relay() -> None:
    between = Between()
    recorded = Recorded(between)
    agent = between.far.agent()
    ask = Attach(ref=1, machine=agent.machine, session=SESSION)
    with pytest.raises(RelayError, match="no such session"):
        await between.near.router.attach(person(between.near), agent.workspace, ask, anybody)
    assert recorded.failures() == {"request attach": "not-found"}


async def attaching(between: Between) -> tuple[Agent, Browser]:
    """A machine of the far node, and somebody at the near one who waits for its answer to an attach."""
    agent, browser = between.far.agent(SESSION), person(between.near)
    await between.near.router.attach(
        browser, agent.workspace, Attach(ref=1, machine=agent.machine, session=SESSION), anybody
    )
    return agent, browser


async def test_an_attach_whose_machine_is_lost_before_it_answers_fails_in_both_steps() -> None:
    between = Between()
    recorded = Recorded(between)
    agent, browser = await attaching(between)
    between.far.router.agent_left(agent)
    await peer(browser).until(lambda: peer(browser).heard("error"))
    assert recorded.failures() == {"request attach": "unavailable", "machine attach": "unavailable"}


async def test_an_attach_whose_browser_leaves_before_the_answer_is_told_as_that() -> None:
    between = Between()
    recorded = Recorded(between)
    agent, browser = await attaching(between)
    between.near.router.browser_left(browser)
    await peer(agent).until(lambda: peer(agent).heard("detach"))
    assert recorded.failures() == {"request attach": "left", "machine attach": "left"}


async def test_a_close_on_another_node_is_a_step_of_the_call_that_asked_for_it() -> None:
    between = Between()
    recorded = Recorded(between)
    machine = ids.make(bytes(16))
    span = recorded.traces.begin("DELETE /api/machines/{machine}", OUTSIDE)
    await between.near.router.close_machine(machine, Close.MACHINE_REVOKED, [between.far.boot], carried=span.carried)
    span.end()
    assert recorded.way("machine close") == ["DELETE /api/machines/{machine}", "machine close"]


async def test_what_nobody_asked_for_begins_no_trace() -> None:
    between = Between()
    recorded = Recorded(between)
    await between.near.router.close_machine(ids.make(bytes(16)), Close.KICKED, [between.far.boot])
    assert recorded.spans() == {}


async def test_a_browser_that_opens_and_never_attaches_is_remembered_for_few_sessions() -> None:
    recorded = Recorded()
    browser = person(Between().near)
    for number in range(PENDING_PER_BROWSER + 1):
        browser.opened({"session": {"id": str(number)}}, recorded.traces.begin("request open"))
    assert browser.goes_on(Attach(ref=1, machine=SESSION, session="0")) == ""
    assert browser.goes_on(Attach(ref=1, machine=SESSION, session="1")) != ""


def test_a_step_that_nobody_records_costs_an_attach_nothing() -> None:
    traces = Traces()
    assert traces.follow("request attach", "", machine="m") is UNTOLD
    assert traces.follow("request attach", OUTSIDE, machine="m").carried == OUTSIDE
    assert traces.follow("request attach", "0" * 1000, machine="m") is UNTOLD
    assert not UNTOLD.recorded
