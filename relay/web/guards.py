"""Wraps the whole site: refuses hosts that are not ours, and puts security headers on every answer."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.errors import UnknownHost
from relay.web.problems import problem

PROBED = frozenset({"/healthz", "/readyz"})  # probes name a node by its address, which no list can know
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"  # the page brings its own policy
YEAR_SECONDS = 31_536_000
ALWAYS = {
    "content-security-policy": NO_PAGE,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class KnownHosts:
    """Answers only to the names of this cluster, so that a name someone else controls cannot be pointed at it."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is addressed to us."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in PROBED or self._knows(scope):
            await self._app(scope, receive, send)
            return
        # Also right for sockets: an HTTP answer in place of the handshake.
        if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": UnknownHost.code})
            return
        await problem(UnknownHost("this host name is not one of the cluster's"))(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        named = [value for name, value in scope["headers"] if name == b"host"]
        return len(named) == 1 and named[0].lower() in self._hosts


class SecurityHeaders:
    """Adds the headers that keep browsers careful, unless a route has set its own."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = dict(ALWAYS)
        if secure:
            self._headers["strict-transport-security"] = f"max-age={YEAR_SECONDS}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, and completes the answer's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, completed)
