"""Plays a node's side of one page's socket, with the real decoder, so that the page says only what a node accepts."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec
from starlette.websockets import WebSocket

from relay.rules import frames, ids, messages
from relay.rules.browser_messages import (
    Attach,
    BrowserHello,
    BrowserWelcome,
    Detach,
    End,
    ListSessions,
    Open,
    Ping,
    Pong,
    Result,
    Snapshot,
    Subscribe,
    from_browser,
    to_browser,
)
from relay.rules.machine import Machine
from relay.rules.messages import ErrorMessage, Message, Take
from tests.ui.fake_machines import JANE, NOW
from tests.ui.fake_session import FakeSession, Seat

PART = 500  # machines in one part of a snapshot


class Known(Protocol):
    """What the relay behind a socket knows."""

    workspaces: list[dict[str, str]]
    machines: dict[str, Machine]
    sessions: dict[str, FakeSession]
    nodes: dict[str, str]
    heard: list[Any]
    seat_numbers: int

    def open(self, machine_id: str) -> FakeSession:
        """Start a session."""

    def sessions_of(self, machine_id: str) -> list[FakeSession]:
        """The sessions of a machine."""


class Peer:
    """One page's socket on one node; what it is sent waits in a queue, so that senders never wait."""

    def __init__(self, relay: Known, node: str, websocket: WebSocket) -> None:
        self.relay = relay
        self.node = node
        self.websocket = websocket
        self.client = ""
        self.user = "Jane"
        self.seats: dict[int, tuple[FakeSession, Seat]] = {}
        self.subscribed: dict[str, int] = {}  # workspace: last number
        self.queue: asyncio.Queue[bytes | str | int] = asyncio.Queue(10_000)
        self._numbers = 0

    def say(self, message: Message) -> None:
        """A control message, which must be one that real clients can read."""
        text = messages.encode(message)
        to_browser(text)
        self.queue.put_nowait(text.decode())

    def send_frame(self, frame: bytes) -> None:
        """A frame."""
        self.queue.put_nowait(frame)

    def close(self, code: int) -> None:
        """Close after everything that was said."""
        self.queue.put_nowait(code)

    async def write(self) -> None:
        """Send what waits."""
        while True:
            match await self.queue.get():
                case bytes() as frame:
                    await self.websocket.send_bytes(frame)
                case str() as text:
                    await self.websocket.send_text(text)
                case int() as code:
                    await self.websocket.close(code)
                    return

    def frame(self, data: bytes) -> None:
        """A binary message of the page."""
        header = frames.read_header(data, frames.FROM_BROWSER)
        session, seat = self.seats[header.attachment]
        assert ids.text(header.session) == session.id
        session.frame(seat, header, frames.payload(data))

    def message(self, text: str) -> None:
        """A control message of the page; the real decoder refuses what a node would refuse."""
        message = from_browser(text)
        self.relay.heard.append(message)
        match message:
            case BrowserHello():
                self.client = message.client
                nodes = list(self.relay.nodes.values())
                user = {"id": JANE, "name": self.user}
                self.say(BrowserWelcome(user=user, workspaces=self.relay.workspaces, nodes=nodes, node=self.node))
            case Subscribe():
                self.subscribed[message.workspace] = 0
                machines = [each for each in self.relay.machines.values() if each.workspace_id == message.workspace]
                parts = [machines[at : at + PART] for at in range(0, len(machines), PART)] or [[]]
                for number, part in enumerate(parts, 1):
                    more = number < len(parts)
                    told = Snapshot(
                        ref=message.ref, workspace=message.workspace, seq=0, now=NOW, machines=part, more=more
                    )
                    self.say(told)
            case ListSessions():
                found = [each.describe() for each in self.relay.sessions_of(message.machine)]
                self.say(Result(ref=message.ref, result={"sessions": msgspec.to_builtins(found)}))
            case Open():
                opened = self.relay.open(message.machine)
                self.say(Result(ref=message.ref, result={"session": msgspec.to_builtins(opened.describe())}))
            case Attach():
                self._attach(message)
            case Detach():
                self._detach(message.attachment)
            case Take():
                session, seat = self.seats[message.attachment]
                session.take(seat)
            case End():
                self.relay.sessions[message.session].ends(b'{"code":null,"signal":1,"reason":"killed"}')
                self.say(Result(ref=message.ref, result={}))
            case Ping():
                self.say(Pong(at=message.at))

    def _attach(self, ask: Attach) -> None:
        session = self.relay.sessions.get(ask.session)
        if session is None:
            self.say(ErrorMessage(ref=ask.ref, code="not-found", message="no such session"))
        elif not self.relay.machines[ask.machine].connected:
            self.say(ErrorMessage(ref=ask.ref, code="offline", message="the machine is offline"))
        else:
            self.relay.seat_numbers += 1
            seat = Seat(self.relay.seat_numbers, self, ask)
            self.seats[seat.number] = (session, seat)
            session.attach(seat)

    def _detach(self, number: int, *, dropped: bool = False) -> None:
        session, _ = self.seats.pop(number)
        session.seats.pop(number, None)
        others = [each for each in session.seats.values() if each.peer.client == self.client]
        if not dropped and not others and session.driver == self.client:
            session.driver = None

    def left(self) -> None:
        """The socket is gone."""
        for number in list(self.seats):
            self._detach(number, dropped=True)

    def tell(self, workspace: str, kind: type[Message], **fields: Any) -> None:
        """A numbered change, if this page follows the workspace."""
        if workspace in self.subscribed:
            self.subscribed[workspace] += 1
            self.say(kind(workspace=workspace, seq=self.subscribed[workspace], **fields))
