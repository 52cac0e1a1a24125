"""Shows who pays when a node does not keep up: the session that floods, never its neighbours, and never control."""

from __future__ import annotations

from typing import NamedTuple
from uuid import uuid4

import pytest

from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Browser
from relay.rules import frames, ids, lanes, windows
from relay.rules.frames import Header, Kind
from relay.rules.limits import FRAME_BYTES, KIB, LANE_CONTROL_BYTES, LANE_WINDOW_BYTES
from tests.node.two_nodes import Between, Node, attach, peer

CHUNK = bytes(32 * KIB)
FLOOD, QUIET = str(uuid4()), str(uuid4())
WINDOW = "LANE_WINDOW_BYTES"


class Scene(NamedTuple):
    """An agent on the near node with two sessions, and browsers of the far node attached to both."""

    between: Between
    near: Node
    far: Node
    agent: Agent
    flooded: Browser
    quiet: Browser

    def flood(self, bytes: int) -> None:
        """Say so much in one session."""
        for _ in range(bytes // len(CHUNK)):
            self.near.says(self.agent, FLOOD, CHUNK)


@pytest.fixture
async def scene() -> Scene:
    between = Between()
    near, far = between.near, between.far
    made = Scene(between, near, far, near.agent(FLOOD, QUIET), far.browser(), far.browser())
    await attach(made.flooded, far, made.agent, near, FLOOD)
    await attach(made.quiet, far, made.agent, near, QUIET)
    await between.second()
    return made


def flood_bytes(scene: Scene) -> int:
    return sum(map(len, peer(scene.flooded).frames))


async def test_a_flooding_session_is_told_gap_and_a_quiet_one_beside_it_loses_nothing(scene: Scene) -> None:
    scene.between.still = scene.far
    for number in range(100):
        scene.flood(LANE_WINDOW_BYTES // 50)
        scene.near.says(scene.agent, QUIET, b"%d" % number)
    await scene.between.settled()
    assert sum(map(len, scene.between.kept)) <= LANE_WINDOW_BYTES
    scene.between.go_on()
    await scene.between.settled()
    assert len(peer(scene.quiet).frames) == 100
    assert not peer(scene.quiet).heard("detached")
    assert [message["reason"] for message in peer(scene.flooded).heard("detached")] == ["gap"]
    assert flood_bytes(scene) <= LANE_WINDOW_BYTES
    assert scene.near.limited(WINDOW) == 1


async def test_what_a_cut_session_says_next_is_not_sent_however_small_it_is(scene: Scene) -> None:
    """Its browser gets all up to the gap and nothing from behind it."""
    scene.between.still = scene.far
    scene.flood(LANE_WINDOW_BYTES)
    scene.near.says(scene.agent, FLOOD, b"small")  # which would have had room
    await scene.between.settled()
    scene.between.go_on()
    await scene.between.settled()
    assert not peer(scene.flooded).frames[-1].endswith(b"small")


async def test_the_agent_hears_that_the_attachment_left_and_its_browser_may_come_back(scene: Scene) -> None:
    scene.between.still = scene.far
    scene.flood(LANE_WINDOW_BYTES)
    await scene.between.settled()
    route = scene.agent.sessions[ids.raw(FLOOD)]
    assert [(each["session"], each["dropped"]) for each in peer(scene.agent).heard("detach")] == [(FLOOD, True)]
    assert (route.remote, route.holders) == ({}, {})
    scene.between.go_on()
    await scene.between.settled()
    assert not scene.flooded.attachments
    peer(scene.flooded).frames.clear()
    await attach(scene.flooded, scene.far, scene.agent, scene.near, FLOOD)
    scene.flood(LANE_WINDOW_BYTES // 2)  # which passes again, before anything else was acknowledged
    await scene.between.settled()
    assert flood_bytes(scene) >= LANE_WINDOW_BYTES // 2
    assert scene.near.limited(WINDOW) == 1


async def test_everybody_of_that_node_is_cut_and_who_attaches_at_that_moment_as_well(scene: Scene) -> None:
    other = scene.far.browser()
    await attach(other, scene.far, scene.agent, scene.near, FLOOD)
    here = scene.near.browser()
    await attach(here, scene.near, scene.agent, scene.near, FLOOD)
    scene.between.still = scene.far
    scene.flood(LANE_WINDOW_BYTES)
    late = hops.AttachHop(
        call=99, machine=scene.agent.machine, session=FLOOD, client="c", mode="watch", operator=other.operator
    )
    scene.near.router.sessions.attach_from(scene.far.boot, late)  # in the tick in which the session is cut
    await scene.between.settled()
    assert set(scene.agent.sessions[ids.raw(FLOOD)].holders.values()) == {
        scene.agent.sessions[ids.raw(FLOOD)].holders[each.number] for each in here.attachments.values()
    }
    scene.between.go_on()
    await scene.between.settled()
    assert [message["reason"] for message in peer(other).heard("detached")] == ["gap"]
    assert not peer(here).heard("detached")
    assert len(peer(here).frames) == LANE_WINDOW_BYTES // len(CHUNK)


async def test_a_node_that_takes_what_it_gets_is_never_cut_however_much_it_is_and_says_so_sparingly(
    scene: Scene,
) -> None:
    before = scene.between.batches[scene.near.boot]
    for _ in range(160):
        scene.flood(LANE_WINDOW_BYTES // 16)
        await scene.between.settled()
    assert flood_bytes(scene) >= 10 * LANE_WINDOW_BYTES
    assert scene.between.batches[scene.near.boot] - before <= 40
    await scene.between.second()
    assert scene.near.lanes.under_way_bytes == 0
    assert scene.near.limited(WINDOW) == 0


async def test_a_full_windows_burst_of_one_driver_passes_among_many_nodes(scene: Scene) -> None:
    for number in range(30):
        scene.far.lanes.received(lanes.batch(bytes([number] * 16), 1, 0, 0, []))
    await scene.between.second()
    assert scene.near.lanes._outgoing[scene.far.boot].flight.window == windows.window(31)
    scene.flood(FRAME_BYTES)
    await scene.between.settled()
    assert scene.near.limited(WINDOW) == 0


async def test_an_acknowledgement_that_was_lost_heals_with_the_next(scene: Scene) -> None:
    scene.between.deaf = scene.near
    scene.flood(LANE_WINDOW_BYTES // 2)
    await scene.between.second()
    assert scene.near.lanes.under_way_bytes > LANE_WINDOW_BYTES // 2
    scene.between.deaf = None
    await scene.between.second()
    assert scene.near.lanes.under_way_bytes == 0


async def test_what_a_deaf_node_lost_is_not_under_way_for_ever() -> None:
    """Also where neither has attachments to the other: nothing else is sent there."""
    between = Between()
    notice = hops.NoticeHop(machine=str(uuid4()), code="c", text="t")
    between.deaf = between.far
    between.near.lanes.send_hop(between.far.boot, notice)
    await between.settled()
    between.deaf = None
    assert between.near.lanes.under_way_bytes > 0
    await between.second()
    await between.second()
    assert between.near.lanes.under_way_bytes == 0


async def test_a_lost_acknowledgement_heals_also_between_nodes_without_attachments() -> None:
    between = Between()
    between.near.lanes.send_hop(between.far.boot, hops.NoticeHop(machine=str(uuid4()), code="c", text="t"))
    await between.settled()
    between.deaf = between.near
    await between.second()
    between.deaf = None
    assert between.near.lanes.under_way_bytes > 0
    await between.second()
    await between.second()
    assert between.near.lanes.under_way_bytes == 0


async def test_nodes_that_have_nothing_to_say_are_silent_once_everything_is_acknowledged() -> None:
    between = Between()
    notice = hops.NoticeHop(machine=str(uuid4()), code="c", text="t")
    between.near.lanes.send_hop(between.far.boot, notice)
    await between.settled()
    for _ in range(3):
        await between.second()
    carried = between.carried
    await between.second()
    assert between.carried == carried


async def test_control_passes_a_full_window(scene: Scene) -> None:
    scene.between.still = scene.far
    scene.flood(LANE_WINDOW_BYTES)
    scene.near.router.agent_left(scene.agent, revoked=True)
    await scene.between.settled()
    scene.between.go_on()
    await scene.between.settled()
    assert [message["reason"] for message in peer(scene.quiet).heard("detached")] == ["machine-revoked"]


async def test_control_towards_a_node_that_takes_nothing_ends_in_a_gap_that_it_is_told(scene: Scene) -> None:
    scene.between.still = scene.far
    notice = hops.NoticeHop(machine=str(uuid4()), code="c", text="t" * 64 * KIB)
    for _ in range(LANE_CONTROL_BYTES // (64 * KIB) + 1):
        scene.near.lanes.send_hop(scene.far.boot, notice)
    await scene.between.settled()
    assert scene.near.limited("LANE_CONTROL_BYTES") == 2
    assert sum(map(len, scene.between.kept)) <= LANE_CONTROL_BYTES + 64 * KIB
    scene.between.go_on()
    scene.near.lanes.send_hop(scene.far.boot, hops.NoticeHop(machine=str(uuid4()), code="c", text="t"))
    await scene.between.settled()
    assert [message["reason"] for message in peer(scene.quiet).heard("detached")] == ["gap"]


async def test_who_types_too_much_into_a_node_that_takes_nothing_is_told_gap_and_others_go_on(scene: Scene) -> None:
    scene.between.still = scene.near
    for browser, session, size, times in (
        (scene.flooded, FLOOD, len(CHUNK), LANE_WINDOW_BYTES // len(CHUNK)),
        (scene.quiet, QUIET, 1, 50),
    ):
        number = next(iter(browser.attachments.values())).number
        frame = frames.pack(Header(Kind.INPUT, 0, number, 1, ids.raw(session), 1), bytes(size))
        for _ in range(times):
            scene.far.router.fanout.from_browser(browser, frame)
    await scene.between.settled()
    assert [message["reason"] for message in peer(scene.flooded).heard("detached")] == ["gap"]
    scene.between.go_on()
    await scene.between.settled()
    assert [each["session"] for each in peer(scene.agent).heard("detach")] == [FLOOD]
    assert not peer(scene.quiet).heard("detached")
    assert len([frame for frame in peer(scene.agent).frames if ids.raw(QUIET) in frame]) == 50
    assert scene.far.limited(WINDOW) == 1
