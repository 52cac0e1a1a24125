"""Opens the doors for WebSockets: who may come in at all, over which subprotocol, and how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from relay import PROTOCOL
from relay.errors import Close, RelayError, UnsupportedVersion
from relay.node.changes import Tail
from relay.node.feeds import Feeds
from relay.node.hub import Hub
from relay.node.infos import Infos
from relay.node.membership import Membership
from relay.node.meters import Meters
from relay.node.mirror import Mirror
from relay.node.router import Router
from relay.web.parts import Parts
from relay.web.pump import Pump


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


class Bucket:
    """Handshakes per second, and sockets at a time."""

    def __init__(self, per_second: float, sockets: int) -> None:
        self._per_second = per_second
        self._full = max(1.0, per_second)  # less than one a second still means one now and then
        self._level = self._full
        self._at: float | None = None
        self._sockets = sockets
        self.open = 0

    def refusal(self, now: float) -> Close | None:
        """Why nobody may come in at monotonic `now`, or None after counting one who did."""
        if self.open >= self._sockets:
            return Close.OVER_CAPACITY
        elapsed = now - self._at if self._at is not None else 0.0
        self._at = now
        self._level = min(self._full, self._level + elapsed * self._per_second)
        if self._level < 1:
            return Close.RATE_LIMITED
        self._level -= 1
        return None


Conversation = Callable[[Doors, WebSocket, Pump], Awaitable[int]]  # the code of the end


def routes(doors: Doors, agent: Conversation, browser: Conversation) -> list[BaseRoute]:
    """The two socket routes."""

    def route(role: str, conversation: Conversation) -> WebSocketRoute:
        async def endpoint(websocket: WebSocket) -> None:
            doors.meters.opened(role)
            doors.meters.closed(role, await _serve(doors, websocket, conversation))

        return WebSocketRoute(f"/ws/{role}", endpoint)

    return [route("agent", agent), route("browser", browser)]


async def _serve(doors: Doors, websocket: WebSocket, conversation: Conversation) -> int:
    """Accept, then speak or close: a close before the accept would reach the peer as a bare 403 and say nothing. The
    answer is the code of the end."""
    speaks = PROTOCOL in websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=PROTOCOL if speaks else None)
    pump = Pump(websocket)
    refusal = _refusal(doors, speaks)
    if refusal is not None:
        await websocket.close(int(refusal), refusal.reason)
        return int(refusal)
    doors.bucket.open += 1
    try:
        return await conversation(doors, websocket, pump)
    except RelayError as error:
        await websocket.close(int(error.close), error.close.reason)
        return int(error.close)
    finally:
        doors.bucket.open -= 1


def _refusal(doors: Doors, speaks: bool) -> Close | None:
    if not speaks:
        return UnsupportedVersion.close
    if doors.membership.draining:
        return Close.DRAINING
    refusal = doors.bucket.refusal(asyncio.get_running_loop().time())
    if refusal is not None:
        doors.meters.limited("RELAY_SOCKETS" if refusal is Close.OVER_CAPACITY else "RELAY_HANDSHAKES")
    return refusal
