"""Builds two nodes in one process, joined by whatever a test puts between their lanes, with peers that only listen."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from relay.errors import Close
from relay.node.agent import Agent
from relay.node.browser import Attachment, Browser
from relay.node.hub import Hub
from relay.node.lanes import Lanes, Publish
from relay.node.meters import Meters
from relay.node.router import Router
from relay.node.sessions import Shown
from relay.rules import frames, ids
from relay.rules.access import Identity
from relay.rules.agent_messages import AgentHello
from relay.rules.browser_messages import Attach
from relay.rules.frames import Header, Kind
from relay.rules.messages import Attached, Attaching, Session
from relay.rules.presence import Fence, Info, Record

WAIT_SECONDS = 10.0  # a test that waits longer has found something
JANE = Identity(kind="person", id="jane", name="jane", credential="token", roles={}, workspaces={})


class Peer:
    """A socket that takes everything and remembers it."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self._changed = asyncio.Event()

    def send_text(self, data: bytes) -> bool:
        """Note a control message."""
        self.told.append(json.loads(data))
        self._changed.set()
        return True

    def send_binary(self, data: bytes) -> bool:
        """Note a frame."""
        self.frames.append(data)
        self._changed.set()
        return True

    def send_ready(self, data: bytes) -> bool:
        """Note each of the frames, however many were joined."""
        at = 0
        while at < len(data):
            short = data[at + 1]
            wide = {126: 2, 127: 8}.get(short, 0)  # RFC 6455, section 5.2: how many bytes tell a longer length
            at += 2 + wide
            length = int.from_bytes(data[at - wide : at]) if wide else short
            self.send_binary(data[at : at + length])
            at += length
        return True

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds of what was told."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def drained(self) -> None:
        """There is always room."""

    def close(self, code: Close) -> None:
        """Nobody closes these."""
        raise AssertionError(code)

    def heard(self, type: str) -> list[dict[str, Any]]:
        """The control messages of one type."""
        return [message for message in self.told if message["type"] == type]


class Node:
    """One node's hub, lanes and router; what it publishes goes to the function it is given."""

    def __init__(self, publish: Publish, loop: Any = None) -> None:
        self.boot = str(uuid4())
        self.metrics = CollectorRegistry()
        meters = Meters(self.metrics)
        self.hub = Hub()
        self.lanes = Lanes(self.boot, publish, loop or asyncio.get_running_loop(), meters)
        shown = Shown(lambda: 0, lambda agent: None)
        self.router = Router(self.boot, self.hub, self.lanes, self._locate, shown, meters)
        self.home: Node | None = None  # where machines are that are not here

    async def _locate(self, workspace: str, machine: str) -> Record | None:
        assert self.home is not None
        return Record(machine, Fence(1, 1, "c"), self.home.boot, 0, 0, True, None, Info())

    def agent(self, *sessions: str, socket: Peer | None = None) -> Agent:
        """An agent of a machine of its own, admitted, that keeps these sessions; on a socket that only listens, unless
        one is given."""
        described = [Session(id=session, epoch=1, kind="terminal") for session in sessions]
        hello = AgentHello(instance=str(uuid4()), hostname="h", version="1", sessions=described)
        agent = Agent(socket or Peer(), "workspace", str(uuid4()), hello, 0.0)
        agent.fence = Fence(1, 7, "connection")
        self.router.agent_admitted(agent)
        return agent

    def browser(self) -> Browser:
        """Somebody's browser."""
        browser = Browser(Peer(), JANE, "claim")
        self.hub.browsers.add(browser)
        return browser

    def says(self, agent: Agent, session: str, payload: bytes) -> None:
        """The agent says this to everybody attached to one of its sessions."""
        self.router.fanout.from_agent(agent, frames.pack(Header(Kind.OUTPUT, 0, 0, 1, ids.raw(session), 1), payload))
        self.router.fanout.flush()

    def limited(self, limit: str) -> float:
        """How often a limit was met."""
        return self.metrics.get_sample_value("relay_limits_reached_total", {"limit": limit}) or 0.0


def peer(owner: Agent | Browser) -> Peer:
    """The fake socket of an agent or a browser."""
    assert isinstance(owner.socket, Peer)
    return owner.socket


async def attach(browser: Browser, far: Node, agent: Agent, near: Node, session: str) -> int:
    """Attach a browser of one node to a session of the other's agent, in full; the attachment's number."""

    async def anybody(attachment: Attachment) -> None:
        """Everybody may."""

    told = len(peer(agent).heard("attach"))
    ask = Attach(ref=1, machine=agent.machine, session=session)
    await far.router.attach(browser, agent.workspace, ask, anybody)
    await peer(agent).until(lambda: len(peer(agent).heard("attach")) > told)
    number = int(peer(agent).heard("attach")[-1]["attachment"])
    answer = Attaching(
        session=session, attachment=number, epoch=1, first=1, recovered=True, driver=False, columns=80, rows=24, input=0
    )
    near.router.sessions.told(agent, answer)
    near.router.sessions.told(agent, Attached(session=session, attachment=number, head=0))
    heard = peer(browser)
    await heard.until(lambda: any(each["attachment"] == number for each in heard.heard("attached")))
    return number


class Clock:
    """The running loop as lanes see it, with a clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.call_soon = asyncio.get_running_loop().call_soon

    def time(self) -> float:
        """The moment at which this clock stands."""
        return self.seconds


class Between:
    """What lies between two nodes of one process: it carries batches, or keeps them while a node stands still."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.near = Node(self._publish, self.clock)
        self.far = Node(self._publish, self.clock)
        self.near.home, self.far.home = self.far, self.near
        self.still: Node | None = None  # takes nothing
        self.deaf: Node | None = None  # what is sent to it is lost
        self.cut = False  # the same for both
        self.kept: list[bytes] = []
        self.batches: Counter[str] = Counter()  # by the boot id of the node they are for

    def _publish(self, boot: str, data: bytes, *, control: bool) -> None:
        to = self.near if boot == self.near.boot else self.far
        self.batches[boot] += 1
        if to is self.still:
            self.kept.append(data)
        elif to is not self.deaf and not self.cut:
            asyncio.get_running_loop().call_soon(to.lanes.received, data)

    def go_on(self) -> None:
        """The node that stood still takes everything that was sent to it."""
        to, self.still = self.still, None
        assert to is not None
        for data in self.kept:
            to.lanes.received(data)
        self.kept.clear()

    async def second(self) -> None:
        """What each node does each second unless it stands still, and what comes of it."""
        self.clock.seconds += 1
        for node in (self.near, self.far):
            if node is not self.still:
                node.router.tick(self.clock.seconds, repeat_interest=False)
        await self.settled()

    @property
    def carried(self) -> int:
        """How many batches were sent, in either direction."""
        return self.batches.total()

    async def settled(self) -> None:
        """Let everything that was sent arrive."""
        before = -1
        while before != self.carried:
            before = self.carried
            for _ in range(3):  # a flush, a delivery, and what it starts
                await asyncio.sleep(0)
