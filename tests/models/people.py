"""Plays agents and browsers against the nodes of a house, each of them an honest program."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from relay.client.picture import Applied, Picture
from relay.node.browser import Browser
from relay.rules import frames, ids, tokens
from relay.rules.browser_messages import to_browser
from relay.rules.frames import Header, Kind
from relay.web.agent_socket import AgentConversation
from relay.web.browser_socket import BrowserConversation
from tests.models.house import Member
from tests.models.model import Presence
from tests.support.story_peer import Peer
from tests.web.site import Caller

PICTURED = frozenset({"snapshot", "machine", "gone", "seen"})


@dataclass
class Installation:
    """One machine.json: what an agent knows between two connections."""

    machine: str
    token: str
    version: int
    hostname: str
    visibility: str  # that it registered with
    instance: str = field(default_factory=lambda: str(uuid4()))
    generation: int = 0  # the last that it was given


class Agent:
    """One connection of an agent. It keeps one session per machine, and serves whoever attaches."""

    def __init__(self, member: Member, installation: Installation, *, stranger: bool) -> None:
        self.member = member
        self.installation = installation
        self.machine = installation.machine
        self.instance = str(uuid4()) if stranger else installation.instance
        self.known = 0 if stranger else installation.generation
        self.mine: Presence | None = None  # set when it is admitted
        self.heard = 0
        self.unflushed = False  # said something since its node last told Redis
        self.peer = Peer(member.node.errands, self._told)
        self._sequence = 0
        token = tokens.read_machine(member.node.parts.secrets, installation.token)
        self.peer.listener = AgentConversation(member.doors, self.peer, token)

    @property
    def open(self) -> bool:
        """Whether it is admitted and still connected."""
        return self.mine is not None and not self.peer.ended

    def hello(self) -> None:
        """Its first message."""
        self.peer.says(
            type="hello",
            instance=self.instance,
            hostname=self.installation.hostname,
            version="1",
            generation=self.known,
            sessions=[{"id": session_of(self.machine), "epoch": 1, "kind": "terminal", "startedAt": 1.0}],
        )

    @property
    def welcome(self) -> dict[str, Any] | None:
        """What it was answered, if it was let in."""
        return next((message for message in self.peer.heard if message["type"] == "welcome"), None)

    def prints(self, payload: bytes) -> None:
        """Output of its session for everybody."""
        self._sequence += 1
        header = Header(Kind.OUTPUT, 0, frames.EVERYBODY, 1, ids.raw(session_of(self.machine)), self._sequence)
        self.peer.sends(frames.pack(header, payload))

    def _told(self, message: dict[str, Any]) -> None:
        if message["type"] == "attach":
            place = {"session": message["session"], "attachment": message["attachment"]}
            shape = {"epoch": 1, "first": 1, "recovered": True, "driver": True, "columns": 80, "rows": 24}
            self.peer.says(type="attaching", **place, **shape)
            self.peer.says(type="attached", head=self._sequence, **place)
        elif message["type"] == "request":
            self.peer.says(type="answer", ref=message["ref"], result={"by": self.machine})


def session_of(machine: str) -> str:
    """The session that a machine's agent keeps."""
    return machine[:-4] + "5e55"


class Watcher:
    """Somebody's browser, which follows the workspace."""

    def __init__(self, member: Member, who: Caller, browser: Browser, peer: Peer) -> None:
        self.member = member
        self.who = who
        self.peer = peer
        self.peer.listener = BrowserConversation(member.doors, peer, browser)
        self.attached: dict[str, tuple[Agent, int]] = {}  # by machine: to whom, under which number
        self._picture = Picture()
        self._read = 0
        self._ref = 0

    @classmethod
    async def open(cls, member: Member, who: Caller, workspace: str) -> Watcher:
        """Welcomed, with the workspace asked for."""
        authenticator = member.node.authenticator
        identity = await authenticator.by_token(who.token)
        peer = Peer(member.node.errands)
        browser = Browser(peer, identity, authenticator.claim(who.token))
        member.node.hub.browsers.add(browser)
        watcher = cls(member, who, browser, peer)
        peer.says(type="hello", client="a-watching-browser", label=who.name)
        peer.says(type="subscribe", ref=0, workspace=workspace)
        return watcher

    def asks(self, type: str, **fields: Any) -> int:
        """A request; its number."""
        self._ref += 1
        self.peer.says(type=type, ref=self._ref, **fields)
        return self._ref

    def answer(self, ref: int) -> dict[str, Any]:
        """What a request was answered; it must have been."""
        return next(message for message in self.peer.heard if message.get("ref") == ref)

    def picture(self) -> dict[str, Any]:
        """The machines as its messages tell them."""
        for message in self.peer.heard[self._read :]:
            if message["type"] in PICTURED:
                change = to_browser(json.dumps(message))
                applied = self._picture.apply(change)  # type: ignore[arg-type]
                assert applied is not Applied.GAP, "a message about the machines is missing"
        self._read = len(self.peer.heard)
        return dict(self._picture.machines)
