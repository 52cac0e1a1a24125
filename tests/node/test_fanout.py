"""Shows in which writes frames reach browsers: joined where they came together, in order, each session by itself."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import uuid4

from relay.node.agent import Agent
from relay.node.browser import Attachment, Browser
from relay.node.fanout import JOINED_BYTES, Fanout
from relay.node.hub import Hub
from relay.node.route import Route
from relay.rules import frames, ids, websocket
from relay.rules.browser_messages import Attach
from relay.rules.frames import EVERYBODY, Header, Kind
from relay.rules.presence import Fence
from relay.rules.websocket import BINARY

MACHINE, NODE, FENCE = str(uuid4()), str(uuid4()), Fence(1, 7, "c")


class Outlet:
    """A socket that notes each write; with `breaks` it fails as a mistake of ours would."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.writes: list[bytes] = []
        self._breaks = breaks

    def send_ready(self, data: bytes) -> bool:
        """Note one write."""
        if self._breaks:
            raise RuntimeError("a mistake")
        self.writes.append(data)
        return True


class SentOn:
    """Lanes that note what goes to other nodes."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes]] = []

    def send_output(
        self, boot: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """Note one entry."""
        self.sent.append((boot, attachment, ready))


class Stage:
    """One agent with sessions, and a fan-out."""

    def __init__(self) -> None:
        self.hub, self.lanes = Hub(), SentOn()
        self.behind: list[Attachment] = []
        self.fanout = Fanout(self.hub, cast(Any, self.lanes), self.behind.append)
        self.agent = Agent(cast(Any, Outlet()), "w", MACHINE, cast(Any, None), 0.0)
        self.agent.fence = FENCE

    def session(self) -> tuple[str, Route]:
        """A session of the agent, with nobody on it."""
        id = str(uuid4())
        route = self.agent.sessions[ids.raw(id)] = Route(cast(Any, None))
        return id, route

    def watch(self, session: str, route: Route, outlet: Outlet) -> int:
        """A browser here joins the group."""
        ask = Attach(ref=1, machine=MACHINE, session=session, mode="watch")
        attachment = Attachment(Browser(cast(Any, outlet), cast(Any, None), ""), "w", ask)
        attachment.number = len(route.audience.group) + 1
        route.audience.group[attachment.number] = attachment
        route.holders[attachment.number] = cast(Any, _Here())
        return attachment.number

    def hear(self, session: str, sequence: int, number: int = EVERYBODY, size: int = 8) -> bytes:
        """The agent sends a frame; it as it should reach a socket."""
        frame = frames.pack(Header(Kind.OUTPUT, 0, number, 1, ids.raw(session), sequence), bytes(size))
        self.fanout.from_agent(self.agent, frame)
        return websocket.frame(BINARY, frame)


class _Here:
    boot = None


def test_what_came_in_one_read_is_one_write_for_each_attachment_and_one_entry_for_each_node() -> None:
    stage, outlets = Stage(), [Outlet(), Outlet()]
    session, route = stage.session()
    for outlet in outlets:
        stage.watch(session, route, outlet)
    route.remote[NODE] = {9}
    ready = b"".join(stage.hear(session, sequence) for sequence in (1, 2, 3))
    stage.fanout.flush()
    assert [outlet.writes for outlet in outlets] == [[ready], [ready]]
    assert stage.lanes.sent == [(NODE, EVERYBODY, ready)]


def test_a_frame_for_one_keeps_its_place_among_those_for_everybody() -> None:
    stage, outlet = Stage(), Outlet()
    session, route = stage.session()
    number = stage.watch(session, route, outlet)
    expected = [stage.hear(session, 1), stage.hear(session, 2, number), stage.hear(session, 3)]
    stage.fanout.flush()
    assert outlet.writes == expected


def test_a_long_read_leaves_in_several_writes() -> None:
    stage, outlet = Stage(), Outlet()
    session, route = stage.session()
    stage.watch(session, route, outlet)
    expected = b"".join(stage.hear(session, sequence, size=JOINED_BYTES // 3) for sequence in range(1, 8))
    stage.fanout.flush()
    assert len(outlet.writes) == 3
    assert b"".join(outlet.writes) == expected


def test_what_goes_to_nobody_is_not_kept() -> None:
    stage = Stage()
    session, route = stage.session()
    stage.hear(session, 1)
    assert route.audience.due == []


def test_a_mistake_in_one_session_costs_no_other_its_frames() -> None:
    stage, well = Stage(), Outlet()
    first, broken = stage.session()
    stage.watch(first, broken, Outlet(breaks=True))
    second, route = stage.session()
    stage.watch(second, route, well)
    for sequence in (1, 2):
        stage.hear(first, sequence)
        ready = stage.hear(second, sequence)
        stage.fanout.flush()
        assert well.writes[-1] == ready
    assert len(well.writes) == 2


async def test_what_came_from_another_node_in_one_tick_is_one_write() -> None:
    stage, outlet = Stage(), Outlet()
    session, route = stage.session()
    number = stage.watch(session, route, outlet)
    machine, raw = ids.raw(MACHINE), ids.raw(session)
    away = stage.hub.away_of(machine, raw, NODE, FENCE.generation)
    assert away is not None
    away.audience.group = route.audience.group
    for ready in (b"one", b"two"):
        stage.fanout.from_lane(NODE, machine, FENCE.generation, raw, EVERYBODY, ready)
    assert outlet.writes == []
    await asyncio.sleep(0)
    assert outlet.writes == [b"onetwo"]
    stage.fanout.from_lane(NODE, machine, FENCE.generation, raw, EVERYBODY, b"three")
    stage.fanout.from_lane(NODE, machine, FENCE.generation, raw, number, b"four")
    assert outlet.writes == [b"onetwo", b"three", b"four"]


async def test_what_an_older_connection_of_the_machine_sent_is_dropped() -> None:
    stage, outlet = Stage(), Outlet()
    session, route = stage.session()
    stage.watch(session, route, outlet)
    machine, raw = ids.raw(MACHINE), ids.raw(session)
    away = stage.hub.away_of(machine, raw, NODE, FENCE.generation)
    assert away is not None
    away.audience.group = route.audience.group
    stage.fanout.from_lane(NODE, machine, FENCE.generation - 1, raw, EVERYBODY, b"old")
    stage.fanout.from_lane(str(uuid4()), machine, FENCE.generation, raw, EVERYBODY, b"stranger")
    stage.fanout.flush()
    assert outlet.writes == []
