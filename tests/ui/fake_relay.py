"""Plays a cluster of two nodes to the page in one process, small enough to read, with the real codec and ring."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from relay.rules import frames, ids, limits
from relay.rules import messages as m
from relay.rules.machine import Machine
from relay.web.page import Page
from tests.ui.fake_machines import JANE, NOW, OTHER_WORKSPACE, WORKSPACE
from tests.ui.fake_session import FakeSession, Seat

COOKIE = "relay_session"


class Peer:
    """One page's socket on one node; what it is sent waits in a queue, so that senders never wait."""

    def __init__(self, relay: FakeRelay, node: str, websocket: WebSocket) -> None:
        self.relay = relay
        self.node = node
        self.websocket = websocket
        self.client = ""
        self.user = "Jane"
        self.seats: dict[int, tuple[FakeSession, Seat]] = {}
        self.subscribed: dict[str, int] = {}  # workspace: last number
        self.queue: asyncio.Queue[bytes | str | int] = asyncio.Queue(10_000)
        self._numbers = 0

    def say(self, message: m.Message) -> None:
        """A control message, which must be one that real clients can read."""
        text = m.encode(message)
        m.to_browser(text)
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
        message = m.from_browser(text)
        self.relay.heard.append(message)
        match message:
            case m.BrowserHello():
                self.client = message.client
                nodes = list(self.relay.nodes.values())
                user = {"id": JANE, "name": self.user}
                self.say(m.BrowserWelcome(user=user, workspaces=self.relay.workspaces, nodes=nodes, node=self.node))
            case m.Subscribe():
                self.subscribed[message.workspace] = 0
                machines = [each for each in self.relay.machines.values() if each.workspace_id == message.workspace]
                parts = [machines[at : at + 500] for at in range(0, len(machines), 500)] or [[]]
                for number, part in enumerate(parts, 1):
                    more = number < len(parts)
                    told = m.Snapshot(
                        ref=message.ref, workspace=message.workspace, seq=0, now=NOW, machines=part, more=more
                    )
                    self.say(told)
            case m.ListSessions():
                found = [each.describe() for each in self.relay.sessions_of(message.machine)]
                self.say(m.Result(ref=message.ref, result={"sessions": msgspec.to_builtins(found)}))
            case m.Open():
                opened = self.relay.open(message.machine)
                self.say(m.Result(ref=message.ref, result={"session": msgspec.to_builtins(opened.describe())}))
            case m.Attach():
                self._attach(message)
            case m.Detach():
                self._detach(message.attachment)
            case m.Take():
                session, seat = self.seats[message.attachment]
                session.take(seat)
            case m.End():
                self.relay.sessions[message.session].ends(b'{"code":null,"signal":1,"reason":"killed"}')
                self.say(m.Result(ref=message.ref, result={}))
            case m.Ping():
                self.say(m.Pong(at=message.at))

    def _attach(self, ask: m.Attach) -> None:
        session = self.relay.sessions.get(ask.session)
        if session is None:
            self.say(m.ErrorMessage(ref=ask.ref, code="not-found", message="no such session"))
        elif not self.relay.machines[ask.machine].connected:
            self.say(m.ErrorMessage(ref=ask.ref, code="offline", message="the machine is offline"))
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

    def tell(self, workspace: str, kind: type[m.Message], **fields: Any) -> None:
        """A numbered change, if this page follows the workspace."""
        if workspace in self.subscribed:
            self.subscribed[workspace] += 1
            self.say(kind(workspace=workspace, seq=self.subscribed[workspace], **fields))


class FakeRelay:
    """What both nodes know; tests change it and read from it what the page did."""

    def __init__(self) -> None:
        self.workspaces = [
            {"id": WORKSPACE, "name": "acme", "role": "owner"},
            {"id": OTHER_WORKSPACE, "name": "weekend", "role": "member"},
        ]
        self.machines: dict[str, Machine] = {}
        self.sessions: dict[str, FakeSession] = {}
        self.peers: set[Peer] = set()
        self.heard: list[Any] = []  # every control message
        self.calls: list[tuple[str, str, Any]] = []  # every REST call but reads of /api/me
        self.links = {"rly_link_good"}
        self.nodes: dict[str, str] = {}
        self.dead: set[str] = set()  # nodes that refuse sockets
        self.tickets: set[str] = set()
        self.seat_numbers = 0
        self.ring_bytes = limits.RING_BYTES
        self.changed = asyncio.Event()

    def add(self, *machines: Machine) -> None:
        """Machines appear or change, and pages that follow are told."""
        for each in machines:
            self.machines[each.id] = each
            for peer in self.peers:
                peer.tell(each.workspace_id, m.MachineChanged, machine=each)

    def remove(self, each: Machine) -> None:
        """A machine is gone."""
        del self.machines[each.id]
        for peer in self.peers:
            peer.tell(each.workspace_id, m.MachineGone, id=each.id, reason="revoked")

    def open(self, machine_id: str) -> FakeSession:
        """A new session."""
        session = FakeSession(self.machines[machine_id], self.ring_bytes)
        self.sessions[session.id] = session
        return session

    def sessions_of(self, machine_id: str) -> list[FakeSession]:
        """The sessions of a machine."""
        return [each for each in self.sessions.values() if each.machine.id == machine_id]

    def drop(self, code: int, node: str | None = None) -> None:
        """Close sockets, of one node or of all."""
        for peer in list(self.peers):
            if node is None or peer.node == node:
                peer.close(code)

    @property
    def the_session(self) -> FakeSession:
        """The only session there is."""
        (session,) = self.sessions.values()
        return session

    def app(self, name: str) -> Starlette:
        """One node's application."""

        async def socket_endpoint(websocket: WebSocket) -> None:
            await self._serve(name, websocket)

        page = Page(lambda: self.nodes.values())
        rest = Route("/api/{path:path}", self._rest, methods=["GET", "POST", "PATCH", "DELETE"])
        return Starlette(routes=[WebSocketRoute("/ws/browser", socket_endpoint), rest, *page.routes()])

    async def _serve(self, name: str, websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        ticket = next((each for each in offered if each in self.tickets), None)
        self.tickets.discard(ticket or "")
        if name in self.dead:
            await websocket.close()
            return
        await websocket.accept(subprotocol="relay.v1")
        if ticket is None and COOKIE not in websocket.cookies:
            await websocket.close(4002, "bad-token")
            return
        peer = Peer(self, name, websocket)
        self.peers.add(peer)
        self.changed.set()
        writing = asyncio.create_task(peer.write())
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if message.get("bytes") is not None:
                    peer.frame(message["bytes"])
                else:
                    peer.message(message["text"])
                self.changed.set()
        except WebSocketDisconnect:
            pass
        finally:
            self.peers.discard(peer)
            peer.left()
            self.changed.set()
            writing.cancel()
            with suppress(asyncio.CancelledError, RuntimeError):
                await writing

    async def _rest(self, request: Request) -> Response:
        path, body = request.path_params["path"], await _json(request)
        if path != "me":
            self.calls.append((request.method, path, body))
        signed_in = COOKIE in request.cookies
        match [request.method, *path.split("/")]:
            case ["POST", "sign-in"] | ["POST", "invitations", "accept"]:
                if body["secret"] not in self.links:
                    return _problem(410, "expired", "this link was used or is too old")
                self.links.discard(body["secret"])
                response = JSONResponse({"user": {"id": JANE, "name": "Jane"}, "workspaces": self.workspaces})
                response.set_cookie(COOKIE, "yes", httponly=True, samesite="strict")
                return response
            case _ if not signed_in:
                return _problem(401, "bad-token", "sign in first")
            case ["GET", "me"]:
                nodes = list(self.nodes.values())
                return JSONResponse(
                    {"user": {"id": JANE, "name": "Jane"}, "workspaces": self.workspaces, "nodes": nodes}
                )
            case ["POST", "tickets"]:
                ticket = f"rly_tick_{uuid.uuid4().hex}"
                self.tickets.add(ticket)
                return JSONResponse({"ticket": ticket, "expiresAt": NOW}, 201)
            case ["POST", "sign-out"]:
                response = JSONResponse({"ended": JANE})
                response.delete_cookie(COOKIE)
                return response
            case ["POST", "device", "approve"]:
                return JSONResponse({"approved": not body["deny"], "client": "relay on build-box"})
            case ["DELETE", "machines", id]:
                self.remove(self.machines[id])
                return JSONResponse({"id": id, "revokedAt": NOW, "closedConnections": 1, "unconfirmedNodes": []})
            case ["PATCH", "machines", id, *rest]:
                change = {"visibility": body["visibility"]} if rest else {"name": body["name"]}
                if change.get("name") == "taken":
                    return _problem(409, "name-taken", "another machine has this name")
                self.add(msgspec.structs.replace(self.machines[id], **change))
                return JSONResponse(msgspec.to_builtins(self.machines[id]))
            case ["GET", "workspaces", _, "members"]:
                return JSONResponse({"members": [_member("Jane", JANE, "owner"), _member("Ravi", _id(5), "member")]})
            case ["GET", "workspaces", _, "keys"]:
                return JSONResponse({"keys": [_key("build machines")]})
            case ["POST", "workspaces", _, "keys"]:
                return JSONResponse(_key(body["name"]) | {"token": "rly_team_example"}, 201)
            case ["POST", "workspaces", _, "invitations"]:
                return JSONResponse({"url": "http://127.0.0.1/#invite=rly_link_other", "expiresAt": NOW}, 201)
            case _:
                return JSONResponse({})


@asynccontextmanager
async def cluster() -> AsyncIterator[FakeRelay]:
    """Two nodes of a fake relay on free ports: `nodes["a"]` and `nodes["b"]`."""
    relay = FakeRelay()
    async with asyncio.TaskGroup() as group:
        servers = []
        for name in ("a", "b"):
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            relay.nodes[name] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = uvicorn.Config(relay.app(name), ws="websockets-sansio", log_level="error", lifespan="off")
            server = _Server(config)
            servers.append(server)
            group.create_task(server.serve([listener]))
        try:
            yield relay
        finally:
            for peer in list(relay.peers):
                peer.close(1001)
            for server in servers:
                server.should_exit = True
                server.force_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with nullcontext():
            yield


async def _json(request: Request) -> Any:
    raw = await request.body()
    return msgspec.json.decode(raw) if raw else None


def _problem(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"code": code, "detail": detail, "status": status}, status)


def _id(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def _member(name: str, id: str, role: str) -> dict[str, Any]:
    return {"user": {"id": id, "name": name}, "role": role, "joinedAt": NOW}


def _key(name: str) -> dict[str, Any]:
    return {"id": _id(9), "name": name, "createdAt": NOW, "createdBy": "Jane", "expiresAt": None}
