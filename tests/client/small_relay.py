"""Plays a relay with one machine in memory: real sockets and the real messages, and misbehaviour on demand."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relay.rules import frames, ids, messages
from relay.rules.browser_messages import (
    Attach,
    BrowserAttaching,
    BrowserHello,
    BrowserWelcome,
    Detach,
    Detached,
    End,
    ListSessions,
    MachineChanged,
    Open,
    Result,
    Snapshot,
    Subscribe,
    from_browser,
)
from relay.rules.fields import SessionKind
from relay.rules.frames import Header, Kind
from relay.rules.machine import Machine
from relay.rules.messages import Attached, DriverChanged, ErrorMessage, InputRefused, Message, Session, Take
from relay.rules.resume import InputStream, decide_replay

WORKSPACE = str(uuid.UUID(int=1, version=4))
MACHINE = str(uuid.UUID(int=2, version=4))
WAY = 7  # attachment numbers go up in steps, so that none is right by accident

Mischief = Callable[[bytes], list[bytes]]


def machine(**changes: Any) -> Machine:
    """The machine as a list shows it."""
    fields: dict[str, Any] = {
        "id": MACHINE, "name": "mac-studio", "hostname": "mac-studio.local", "workspace_id": WORKSPACE,
        "workspace_name": "acme", "owner": None, "visibility": "SHARED", "version": "1", "pid": 1, "online": True,
        "state": "live", "connected": True, "last_seen_at": "2026-11-22T10:00:00.000Z", "heartbeat_age_seconds": 4,
        "offline_reason": None, "labels": {}, "active_session": None, "sessions": 0,
        "created_at": "2026-11-22T09:00:00.000Z",
    }  # fmt: skip
    return Machine(**(fields | changes))


class Shell:
    """A session on the machine: a ring of output, and input applied once per client."""

    def __init__(self, session: str, kind: SessionKind = "terminal", epoch: int = 9) -> None:
        self.id = session
        self.kind = kind
        self.epoch = epoch
        self.ring: list[bytes] = []
        self.first_kept = 1
        self.typed = bytearray()
        self.sizes: list[tuple[int, int]] = []
        self.input_ended = False
        self.streams: dict[str, InputStream] = {}
        self.driver: str | None = None
        self.refusing = False
        self.reason = "not-driver"  # why it refuses
        self.deaf = False  # loses all input on its way
        self.term = 1
        self.seen = 0
        self.changed = asyncio.Event()

    @property
    def head(self) -> int:
        """The number of the newest output frame."""
        return len(self.ring)

    def frame(self, kind: Kind, payload: bytes, flags: int = 0) -> bytes:
        """Number one output frame and keep it."""
        header = Header(kind, flags, frames.EVERYBODY, self.epoch, ids.raw(self.id), self.head + 1)
        self.ring.append(frames.pack(header, payload))
        return self.ring[-1]

    def apply(self, client: str, header: Header, payload: bytes) -> int | None:
        """Apply one numbered input; the number to acknowledge, or None when it is refused."""
        stream = self.streams.setdefault(client, InputStream())
        if self.refusing or self.driver != client:
            return None
        verdict = stream.apply(header.sequence)
        assert verdict != "hole", f"input {header.sequence} after {stream.last}"
        if verdict == "apply":
            match header.kind:
                case Kind.INPUT:
                    self.typed += payload
                case Kind.RESIZE:
                    self.sizes.append(frames.SIZE.unpack(payload))
                case Kind.END_INPUT:
                    self.input_ended = True
            self.changed.set()
        return stream.last


class Browser:
    """One socket of a client at a node."""

    def __init__(self, world: World, socket: ServerConnection) -> None:
        self.world = world
        self.socket = socket
        self.client = ""
        self.attachments: dict[str, int] = {}  # by session, of those that get what everybody gets
        self.following: set[str] = set()
        self.seq = 0

    async def tell(self, message: Message) -> None:
        """Send a control message."""
        await self.socket.send(messages.encode(message), text=True)

    async def hear(self, incoming: str | bytes) -> None:
        """Act on a message or a frame."""
        if isinstance(incoming, bytes):
            await self._frame(incoming)
            return
        message = from_browser(incoming)
        self.world.asked.append(message)
        self.world.changed.set()
        if self.world.silent:
            return
        match message:
            case Subscribe():
                self.following.add(message.workspace)
                self.seq += 1
                await self.tell(
                    Snapshot(
                        ref=message.ref, workspace=WORKSPACE, seq=self.seq, now="2026-11-22T10:00:00.000Z",
                        machines=list(self.world.machines.values()),
                    )
                )  # fmt: skip
            case Open():
                shell = self.world.open(message.kind)
                described = Session(id=shell.id, epoch=shell.epoch, kind=shell.kind)
                await self.tell(Result(ref=message.ref, result={"session": _plain(described)}))
            case ListSessions():
                found = [Session(id=each.id, epoch=each.epoch, kind=each.kind) for each in self.world.shells.values()]
                await self.tell(Result(ref=message.ref, result={"sessions": [_plain(each) for each in found]}))
            case End():
                await self.world.publish(message.session, Kind.EXIT, b'{"code": null, "signal": 15}')
                await self.tell(Result(ref=message.ref, result={}))
            case Attach():
                await self._attach(message)
            case Detach():
                if self.attachments.get(message.session) == message.attachment:
                    del self.attachments[message.session]
            case Take():
                shell = self.world.shells[message.session]
                shell.driver, shell.refusing = self.client, False
                await self.tell(DriverChanged(session=shell.id, attachment=message.attachment))
            case _:
                pass

    async def _attach(self, ask: Attach) -> None:
        world = self.world
        if world.refusal is not None:
            await self.tell(ErrorMessage(ref=ask.ref, session=ask.session, **world.refusal))
            return
        shell = world.shells[ask.session]
        replay = decide_replay(ask.after, shell.epoch, shell.first_kept, shell.head)
        number = world.number = world.number + WAY
        if ask.mode == "drive" and (shell.driver is None or ask.take):
            shell.driver = self.client
        self.attachments.pop(ask.session, None)
        stream = shell.streams.setdefault(self.client, InputStream())
        await self.tell(
            BrowserAttaching(
                ref=ask.ref, machine=ask.machine, session=shell.id, attachment=number, epoch=shell.epoch,
                first=replay.first, recovered=replay.recovered, driver=shell.driver == self.client,
                columns=ask.columns or 80, rows=ask.rows or 24, input=stream.last, term=shell.term,
            )
        )  # fmt: skip
        sent = replay.first - 1
        while sent < shell.head:
            sent += 1
            for frame in world.mischief(addressed(shell.ring[sent - 1], number)):
                await self.socket.send(frame)
        await self.tell(Attached(session=shell.id, attachment=number, head=shell.head))
        self.attachments[shell.id] = number

    async def _frame(self, frame: bytes) -> None:
        header = frames.read_header(frame, frames.FROM_BROWSER)
        shell = self.world.shells[ids.text(header.session)]
        if self.attachments.get(shell.id) != header.attachment:
            return  # as a node does: not an attachment of this socket
        if header.kind == Kind.SEEN:
            shell.seen = max(shell.seen, header.sequence)
            shell.changed.set()
            return
        if shell.deaf:
            return
        applied = shell.apply(self.client, header, frames.payload(frame))
        if applied is None:
            await self.tell(
                InputRefused(
                    session=shell.id, attachment=header.attachment, sequence=header.sequence, reason=shell.reason
                )
            )
            return
        ack = header._replace(kind=Kind.ACK, flags=0, sequence=applied)
        for sent in self.world.mischief(frames.pack(ack)):
            await self.socket.send(sent)


class Turned(NamedTuple):
    """A newcomer that a node sent away."""

    node: str
    seconds: int


class World:
    """What all nodes share: the machine, its sessions, and how to misbehave."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {MACHINE: machine()}
        self.shells: dict[str, Shell] = {}
        self.browsers: set[Browser] = set()
        self.urls: list[str] = []
        self.servers: list[Server] = []
        self.asked: list[Any] = []
        self.mischief: Mischief = lambda frame: [frame]
        self.refusal: dict[str, Any] | None = None
        self.silent = False  # hears everything and answers nothing
        self.changed = asyncio.Event()  # somebody said something, or left
        self.number = 0
        self.greeting: Callable[[ServerConnection], int | None] = lambda socket: (
            None
        )  # a close code instead of a welcome
        self.turns: list[int] = []  # in how many seconds the next newcomers shall come back, one after the other
        self.turned: list[Turned] = []

    def open(self, kind: SessionKind = "terminal") -> Shell:
        """A new session."""
        shell = Shell(str(uuid.UUID(int=100 + len(self.shells), version=4)), kind)
        self.shells[shell.id] = shell
        return shell

    async def publish(self, session: str, kind: Kind, payload: bytes, flags: int = 0) -> None:
        """Output for everybody attached, through the mischief."""
        frame = self.shells[session].frame(kind, payload, flags)
        for browser in list(self.browsers):
            if session in browser.attachments:
                for sent in self.mischief(frame):
                    await _send(browser, sent)

    async def tell_machine(self, changed: Machine) -> None:
        """Tell everybody who follows the workspace."""
        self.machines[changed.id] = changed
        for browser in list(self.browsers):
            if WORKSPACE in browser.following:
                browser.seq += 1
                await browser.tell(MachineChanged(workspace=WORKSPACE, seq=browser.seq, machine=changed))

    async def detach_all(self, reason: Any) -> None:
        """End every attachment, as a node does after a gap or when the machine's socket is lost."""
        for browser in list(self.browsers):
            for session, number in list(browser.attachments.items()):
                del browser.attachments[session]
                await browser.tell(Detached(session=session, attachment=number, reason=reason))

    async def shut(self, node: int) -> None:
        """Lose one node with all its sockets, for good."""
        self.cut()
        self.servers[node].close()
        await self.servers[node].wait_closed()

    def cut(self) -> None:
        """Lose every socket without a closing handshake."""
        for browser in list(self.browsers):
            browser.socket.transport.abort()

    async def close_all(self, code: int) -> None:
        """Close every socket with this code."""
        for browser in list(self.browsers):
            await browser.socket.close(code, "as asked")

    def look(self, socket: ServerConnection, _request: Request) -> Response | None:
        """Turn a newcomer away before the upgrade, if there are too many."""
        if not self.turns:
            return None
        response = socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        self.turned.append(Turned(f"http://127.0.0.1:{socket.local_address[1]}", self.turns.pop(0)))
        response.headers["Retry-After"] = str(self.turned[-1].seconds)
        return response

    async def serve_one(self, socket: ServerConnection) -> None:
        """One browser from hello to its end."""
        browser = Browser(self, socket)
        try:
            code = self.greeting(socket)
            if code is not None:
                await socket.close(code)
                return
            hello = from_browser(await socket.recv())
            assert isinstance(hello, BrowserHello)
            browser.client = hello.client
            self.browsers.add(browser)
            await browser.tell(
                BrowserWelcome(user={"id": "1", "name": "jane"}, workspaces=[], nodes=self.urls, node="n")
            )
            async for incoming in socket:
                await browser.hear(incoming)
        except ConnectionClosed:
            pass
        finally:
            self.browsers.discard(browser)
            self.changed.set()


@asynccontextmanager
async def small_relay(nodes: int = 1) -> AsyncIterator[World]:
    """A world with so many nodes."""
    world = World()
    try:
        for _ in range(nodes):
            server = await serve(
                world.serve_one,
                "127.0.0.1",
                0,
                subprotocols=[Subprotocol("relay.v1")],
                process_request=world.look,
                compression=None,
                close_timeout=1,
            )
            world.servers.append(server)
            world.urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield world
    finally:
        for server in world.servers:
            server.close()
            await server.wait_closed()


def addressed(frame: bytes, attachment: int) -> bytes:
    """The same frame for one attachment."""
    header = Header._make(frames.HEADER.unpack_from(frame))
    return frames.pack(header._replace(attachment=attachment), frames.payload(frame))


async def _send(browser: Browser, frame: bytes) -> None:
    try:
        await browser.socket.send(frame)
    except ConnectionClosed:
        browser.attachments.clear()


def _plain(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(messages.encode(message))
    return data
