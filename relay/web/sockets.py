"""Opens the doors for WebSockets: who may come in at all, over which subprotocol, and how many at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import structlog
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from relay import PROTOCOL
from relay.errors import Close, RelayError, UnsupportedVersion
from relay.node.admissions import Admissions
from relay.node.changes import Tail
from relay.node.deadlines import Deadlines, Waited
from relay.node.direct import Carriage, DirectSocket
from relay.node.feeds import Feeds
from relay.node.hub import Hub
from relay.node.infos import Infos
from relay.node.membership import Membership
from relay.node.meters import Meters
from relay.node.mirror import Mirror
from relay.node.router import Router
from relay.node.socket import Carrier, Listener
from relay.rules import metrics
from relay.rules.tally import Tally
from relay.rules.timing import HELLO_SECONDS
from relay.web.asgi_socket import AsgiSocket
from relay.web.parts import Parts
from relay.web.upgrade import TAKE_OVER

RETRY_SECONDS = 30.0  # the longest that anybody is asked to stay away


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What sockets need beside what REST needs; `relay/app.py` builds it."""

    boot: str
    parts: Parts
    hub: Hub
    router: Router
    feeds: Feeds
    infos: Infos
    tail: Tail
    mirror: Mirror
    membership: Membership
    meters: Meters
    bucket: Bucket
    carriage: Carriage
    hellos: Deadlines[Waited] = field(default_factory=lambda: Deadlines(HELLO_SECONDS))  # who has not said it yet

    @cached_property
    def admissions(self) -> Admissions:
        """Where agents are announced."""
        return Admissions(self.parts.presence, self.carriage.errands)

    @cached_property
    def hello_seconds(self) -> Tally:
        """From agents' hellos to their welcomes."""
        return self.meters.tally(metrics.HELLO)

    @cached_property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """For the line about each who comes or goes: to make a logger for each costs more than the line."""
        return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger().bind())

    def left(self, role: str, code: int) -> None:
        """One who was let in is gone."""
        self.bucket.open -= 1
        self.meters.closed(role, code)


class Bucket:
    """Handshakes per second, and sockets at a time. Those who come too fast are told to come back one after the other,
    at the pace that this node can keep, so that they do not all return at once."""

    def __init__(self, per_second: float, sockets: int) -> None:
        self._per_second = per_second
        self._full = max(1.0, per_second)  # less than one a second still means one now and then
        self._level = self._full
        self._at = -math.inf  # when the level was right
        self._turn = -math.inf  # the last that was given out
        self._sockets = sockets
        self.open = 0

    @property
    def crowded(self) -> bool:
        """Whether there are as many sockets as may be."""
        return self.open >= self._sockets

    def wait_seconds(self, now: float) -> float:
        """0 after counting one who may come in at monotonic `now`, or in how many seconds it is the asker's turn. A
        turn costs nothing: whoever comes back in time finds what has been filled up meanwhile."""
        self._level = min(self._full, self._level + (now - self._at) * self._per_second)
        self._at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        self._turn = min(max(self._turn, now) + 1 / self._per_second, now + RETRY_SECONDS)
        return self._turn - now


Conversation = Callable[[Doors, WebSocket, Carrier], Awaitable[Listener]]  # raises RelayError for whom it turns away


def routes(doors: Doors, agent: Conversation, browser: Conversation) -> list[BaseRoute]:
    """The two socket routes."""
    return [
        WebSocketRoute("/ws/agent", Entrance(doors, "agent", agent)),
        WebSocketRoute("/ws/browser", Entrance(doors, "browser", browser)),
    ]


class Entrance:
    """Lets peers of one role in. An ASGI application, for Starlette wraps a function twice before it is called."""

    def __init__(self, doors: Doors, role: str, conversation: Conversation) -> None:
        self._doors = doors
        self._role = role
        self._conversation = conversation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake, and find out who is to listen to the peer."""
        doors, websocket = self._doors, WebSocket(scope, receive, send)
        # Before anything else, for also those who are turned away cost a handshake.
        wait_seconds = doors.bucket.wait_seconds(asyncio.get_running_loop().time())
        if wait_seconds:
            doors.meters.limited("RELAY_HANDSHAKES")
            doors.meters.refused(self._role, "too-fast")
            headers = {"retry-after": str(math.ceil(wait_seconds))}
            await websocket.send_denial_response(Response(status_code=503, headers=headers))
            return
        refusal = _refusal(doors, websocket)
        await websocket.accept(subprotocol=PROTOCOL if _speaks(websocket) else None)
        socket = _carry(doors, websocket)
        doors.meters.opened(self._role)
        doors.bucket.open += 1
        await socket.serve(await self._listener(websocket, socket, refusal))

    async def _listener(
        self, websocket: WebSocket, socket: DirectSocket | AsgiSocket, refusal: Close | None
    ) -> Listener:
        """Who speaks with the peer, or one who waits until it has read why nobody does."""
        try:
            if refusal is None:
                return await self._conversation(self._doors, websocket, socket)
        except RelayError as error:
            refusal = error.close
        except Exception:
            self._doors.log.exception("nobody could speak with a peer")
            refusal = Close.INTERNAL
        except asyncio.CancelledError:
            self._doors.left(self._role, Close.INTERNAL)
            socket.close(Close.INTERNAL)
            raise
        # An agent has not said yet which codes it knows: of the first version it knows the older one alone.
        unsaid = self._role == "agent" and refusal is Close.UNAVAILABLE
        socket.close(Close.OVER_CAPACITY if unsaid else refusal)
        self._doors.meters.refused(self._role, refusal.reason)
        return Leaving(self._doors, self._role)


class Leaving:
    """Listens to a peer that was accepted only to read why it may not stay; it is counted until it is gone."""

    __slots__ = ("_doors", "_role")

    def __init__(self, doors: Doors, role: str) -> None:
        self._doors = doors
        self._role = role

    def text(self, text: str) -> None:
        """Nothing that it says matters."""

    def binary(self, frame: bytes) -> None:
        """Nor this."""

    def flush(self) -> None:
        """There is nothing to flush."""

    def closed(self, code: int, reason: str) -> None:
        """It has read why, or did not wait."""
        self._doors.left(self._role, code)


def _carry(doors: Doors, websocket: WebSocket) -> DirectSocket | AsgiSocket:
    """Take the connection over if this server lets us."""
    take_over = websocket.scope.get("extensions", {}).get(TAKE_OVER)
    if take_over is None:
        return AsgiSocket(websocket)
    socket = DirectSocket(doors.carriage)
    take_over(socket)
    return socket


def _speaks(websocket: WebSocket) -> bool:
    return PROTOCOL in websocket.scope.get("subprotocols", [])


def _refusal(doors: Doors, websocket: WebSocket) -> Close | None:
    """What everybody would be told now; None if anybody may come in."""
    if not _speaks(websocket):
        return UnsupportedVersion.close
    if doors.membership.draining:
        return Close.DRAINING
    if doors.membership.misconfigured:
        return Close.UNAVAILABLE  # other nodes have the cluster; if there are none, nobody need hurry
    if doors.bucket.crowded:
        doors.meters.limited("RELAY_SOCKETS")
        return Close.OVER_CAPACITY
    return None
