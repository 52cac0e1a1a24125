"""Speaks to a node through a bare WebSocket library, saying exactly what a test wants, right or wrong."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from relay.rules import frames, ids
from relay.rules.frames import Header
from tests.support.cluster import Rest, Team

WAIT_SECONDS = 15.0


class Bare:
    """One socket, spoken to in raw messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def say(self, **message: Any) -> None:
        """Send a control message."""
        self.socket.send(json.dumps(message))

    def text(self, text: str) -> None:
        """Send any text."""
        self.socket.send(text)

    def frame(self, header: Header, payload: bytes = b"") -> None:
        """Send a frame."""
        self.socket.send(frames.pack(header, payload))

    def raw(self, data: bytes) -> None:
        """Send any bytes as a binary message."""
        self.socket.send(data)

    def hears(self, type: str, **fields: Any) -> dict[str, Any]:
        """The next control message of this type that has these fields; others are passed over."""
        while True:
            data = self.socket.recv(WAIT_SECONDS)
            if isinstance(data, str):
                message = json.loads(data)
                if message["type"] == type and all(message.get(name) == value for name, value in fields.items()):
                    return dict(message)

    def hears_any(self, *types: str) -> dict[str, Any]:
        """The next control message of one of these types; others are passed over."""
        while True:
            data = self.socket.recv(WAIT_SECONDS)
            if isinstance(data, str) and json.loads(data)["type"] in types:
                return dict(json.loads(data))

    def hears_frame(self) -> tuple[Header, bytes]:
        """The next frame; control messages are passed over."""
        while True:
            data = self.socket.recv(WAIT_SECONDS)
            if isinstance(data, bytes):
                return Header._make(frames.HEADER.unpack_from(data)), frames.payload(data)

    def is_closed(self) -> tuple[int, str]:
        """Wait for the close; its code and reason."""
        try:
            while True:
                self.socket.recv(WAIT_SECONDS)
        except ConnectionClosed as closed:
            end = closed.rcvd
        assert end is not None, "the socket was lost without a close frame"
        return end.code, end.reason


@contextmanager
def bare(
    url: str, path: str, token: str | None, *, subprotocols: tuple[str, ...] = ("relay.v1",), **more: Any
) -> Iterator[Bare]:
    """A socket to a node; `more` goes to the library."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= more.pop("headers", {})
    more.setdefault("max_queue", None)  # or what a test leaves unread would hold up the library's own closing
    with connect(
        url.replace("http", "ws", 1) + path,
        additional_headers=headers,
        subprotocols=[Subprotocol(word) for word in subprotocols],
        compression=None,
        open_timeout=WAIT_SECONDS,
        **more,
    ) as socket:
        yield Bare(socket)


@contextmanager
def bare_browser(url: str, token: str) -> Iterator[Bare]:
    """A browser that has been welcomed."""
    with bare(url, "/ws/browser", token) as browser:
        browser.say(type="hello", client=secrets.token_urlsafe(12), label="bare")
        browser.hears("welcome")
        yield browser


class BareMachine:
    """A machine registered by hand, and its agent's hello."""

    def __init__(self, team: Team, name: str, token: str | None = None, **more: Any) -> None:
        self.team = team
        self.instance = str(uuid4())
        key = Rest(team.owner.url, token or team.key)
        body = {"name": name, "hostname": f"{name}.local", "version": "1", "instanceId": self.instance, **more}
        answer = key("POST", f"/api/machines?workspace={team.workspace}", body)
        self.id: str = answer["machine"]["id"]
        self.token: str = answer["machineToken"]

    def hello(self, *sessions: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The first message of its agent."""
        base = {"type": "hello", "instance": self.instance, "hostname": "bare.local", "version": "1"}
        return base | {"knowsUnavailable": True, "sessions": list(sessions)} | more

    @contextmanager
    def agent(self, url: str, *sessions: dict[str, Any]) -> Iterator[Bare]:
        """Its agent, welcomed."""
        with bare(url, "/ws/agent", self.token) as agent:
            agent.say(**self.hello(*sessions))
            agent.hears("welcome")
            yield agent


def a_session() -> dict[str, Any]:
    """A terminal that an agent may announce."""
    return {"id": str(uuid4()), "epoch": 1, "kind": "terminal", "startedAt": 1.0}


def output(session: dict[str, Any], sequence: int, attachment: int = 0) -> Header:
    """The header of an output frame of such a session."""
    return Header(frames.Kind.OUTPUT, 0, attachment, session["epoch"], ids.raw(session["id"]), sequence)


def attach(browser: Bare, agent: Bare, machine: BareMachine, session: dict[str, Any]) -> int:
    """Attach in full; the attachment's number."""
    browser.say(type="attach", ref=1, machine=machine.id, session=session["id"])
    number = int(agent.hears("attach")["attachment"])
    place = {"session": session["id"], "attachment": number}
    agent.say(type="attaching", epoch=1, first=1, recovered=True, driver=True, columns=80, rows=24, **place)
    agent.say(type="attached", head=0, **place)
    browser.hears("attached")
    return number
