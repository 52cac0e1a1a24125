"""Plays a cluster of two nodes to the page in one process, small enough to read, with the real codec and ring."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from relay.rules import limits
from relay.rules.browser_messages import MachineChanged, MachineGone
from relay.rules.machine import Machine
from relay.web.page import Page
from tests.ui.fake_machines import OTHER_WORKSPACE, WORKSPACE
from tests.ui.fake_peer import Peer
from tests.ui.fake_rest import COOKIE, answer
from tests.ui.fake_session import FakeSession


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
                peer.tell(each.workspace_id, MachineChanged, machine=each)

    def remove(self, each: Machine) -> None:
        """A machine is gone."""
        del self.machines[each.id]
        for peer in self.peers:
            peer.tell(each.workspace_id, MachineGone, id=each.id, reason="revoked")

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

        async def rest_endpoint(request: Request) -> Response:
            return await answer(self, request)

        rest = Route("/api/{path:path}", rest_endpoint, methods=["GET", "POST", "PATCH", "DELETE"])
        app = Starlette(routes=[WebSocketRoute("/ws/browser", socket_endpoint), rest, *page.routes()])
        app.add_middleware(  # as a node does: pages of the others may ask with their cookie
            CORSMiddleware, allow_origin_regex=r"http://127\.0\.0\.1:\d+", allow_credentials=True,
            allow_methods=["*"], allow_headers=["content-type"],
        )  # fmt: skip
        return app

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
