"""Shows that what is meant for one connection of an agent never reaches the next one, where numbers begin anew."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from relay.errors import Close
from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Attachment
from relay.rules import frames, ids
from relay.rules.browser_messages import Attach
from relay.rules.frames import Header, Kind
from relay.rules.presence import Fence
from tests.node.two_nodes import Between, Node, attach, peer

SESSION = str(uuid4())


@pytest.fixture
async def between() -> Between:
    """Two nodes; machines are at the far one."""
    return Between()


def again(node: Node, agent: Agent, generation: int) -> Agent:
    """The same machine on a new socket."""
    newer = Agent(type(peer(agent))(), agent.workspace, agent.machine, agent.hello, 0.0)
    newer.fence = Fence(1, generation, "another connection")
    node.router.agent_admitted(newer)
    return newer


def typed(number: int, text: bytes) -> bytes:
    return frames.pack(Header(Kind.INPUT, 0, number, 1, ids.raw(SESSION), 1), text)


async def test_what_somebody_typed_for_the_connection_before_is_not_taken_for_what_somebody_else_types_now(
    between: Between,
) -> None:
    """Both have number 1, each on their connection; the older frames are still under way when the newer one comes."""
    agent = between.far.agent(SESSION)
    old, new = between.near.browser(), between.near.browser()
    number = await attach(old, between.near, agent, between.far, SESSION)
    newer = again(between.far, agent, 8)
    between.near.router.fanout.from_browser(old, typed(number, b"rm -r"))  # it has not heard that the machine is gone
    assert await attach(new, between.near, newer, between.far, SESSION) == number
    between.far.router.input_arrived(between.near.boot, agent.raw, 7, typed(number, b"rm -r"))
    between.near.router.fanout.from_browser(new, typed(number, b"ls"))
    await between.settled()
    assert [frames.payload(frame) for frame in peer(newer).frames] == [b"ls"]


@pytest.mark.parametrize("late", [hops.DetachHop, hops.TakeHop])
async def test_an_attachment_of_the_connection_before_does_nothing_to_its_namesake(
    between: Between, late: type[hops.DetachHop] | type[hops.TakeHop]
) -> None:
    newer = again(between.far, between.far.agent(SESSION), 8)
    number = await attach(between.near.browser(), between.near, newer, between.far, SESSION)
    told = len(peer(newer).told)
    hop = late(machine=newer.machine, generation=7, session=SESSION, attachment=number)
    between.far.router.hop_arrived(between.near.boot, hop)
    assert len(peer(newer).told) == told
    between.far.router.hop_arrived(
        between.near.boot, late(machine=newer.machine, generation=8, session=SESSION, attachment=number)
    )
    assert len(peer(newer).told) == told + 1


async def test_the_end_of_a_connection_does_not_end_attachments_to_the_next_one(between: Between) -> None:
    newer = again(between.far, between.far.agent(SESSION), 8)
    browser = between.near.browser()
    number = await attach(browser, between.near, newer, between.far, SESSION)
    for hop in (
        hops.MachineGoneHop(machine=newer.machine, generation=7),
        hops.UnknownAttachmentHop(machine=newer.machine, generation=7, session=SESSION, attachment=number),
    ):
        between.near.router.hop_arrived(between.far.boot, hop)
    assert peer(browser).heard("detached") == []
    between.near.router.hop_arrived(between.far.boot, hops.MachineGoneHop(machine=newer.machine, generation=8))
    assert len(peer(browser).heard("detached")) == 1


async def test_a_number_of_the_connection_before_that_comes_late_takes_nobody_from_the_next_one(
    between: Between,
) -> None:
    newer = again(between.far, between.far.agent(SESSION), 8)
    browser = between.near.browser()
    await attach(browser, between.near, newer, between.far, SESSION)
    assert between.near.hub.away_of(newer.raw, ids.raw(SESSION), str(uuid4()), 7) is None
    assert peer(browser).heard("detached") == []


async def test_interest_in_the_connection_before_is_answered_for_that_one(between: Between) -> None:
    """Its browser begins again, and its namesake on the next connection is not kept alive by it."""
    agent = between.far.agent(SESSION)
    browser = between.near.browser()
    await attach(browser, between.near, agent, between.far, SESSION)
    between.deaf = between.near  # it does not hear that the agent is gone
    again(between.far, agent, 8)
    await between.settled()
    between.deaf = None
    between.near.router.interest.repeat()
    await between.settled()
    assert [each["reason"] for each in peer(browser).heard("detached")] == ["gap"]


def test_what_a_node_one_version_ahead_adds_to_what_it_says_is_passed_over() -> None:
    said = b'{"type":"detach","machine":"m","generation":7,"session":"s","attachment":1,"more":{"to":"come"}}'
    assert hops.decode(said) == hops.DetachHop(machine="m", generation=7, session="s", attachment=1)


def test_a_hop_that_does_not_name_the_connection_that_it_is_about_is_about_none() -> None:
    with pytest.raises(msgspec.DecodeError):
        hops.decode(b'{"type":"detach","machine":"m","session":"s","attachment":1}')


def anybody(attachment: Attachment) -> None:
    """Everybody may."""


async def test_a_repeated_number_is_refused_when_the_machine_has_moved_on(between: Between) -> None:
    """The answer of the connection before overtakes nobody: whoever waits for it is told to ask again."""
    newer = again(between.far, between.far.agent(SESSION), 8)
    first, second = between.near.browser(), between.near.browser()
    await attach(first, between.near, newer, between.far, SESSION)
    ask = Attach(ref=1, machine=newer.machine, session=SESSION)
    waiting = Attachment(second, "workspace", ask)
    second.asking.add(waiting)
    attachments = between.near.router.attachments
    attachments._numbering[99] = waiting
    waiting.home = between.far.boot
    attachments.numbered(between.far.boot, hops.NumberedHop(call=99, attachment=5, generation=7))
    assert second.attachments == {}
    assert peer(first).heard("detached") == []


async def test_a_kick_that_comes_late_leaves_the_next_connection_alone(between: Between) -> None:
    """The node that is asked may have stood still meanwhile."""
    newer = again(between.far, between.far.agent(SESSION), 8)
    kick = hops.CloseHop(call=0, machine=newer.machine, code=int(Close.KICKED), generation=8)
    between.far.router.hop_arrived(between.near.boot, kick)  # its socket would complain
    assert between.far.hub.agents[newer.machine] is newer
