"""Builds the Starlette application of a node from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.errors import RelayError
from relay.web import devices, health, keys, machines, me, members, registration, resolve, signin, workspaces
from relay.web.call import WRITES, Call
from relay.web.documents import documents
from relay.web.endpoint import routes
from relay.web.guards import KnownHosts, SecurityHeaders
from relay.web.measures import Measures
from relay.web.parts import Parts
from relay.web.problems import on_http_error, on_relay_error, on_unexpected

# The one table. Paths without parameters come before those with, as the router takes the first that fits.
CALLS: tuple[Call, ...] = (
    *registration.CALLS,
    *machines.CALLS,
    *resolve.CALLS,
    *me.CALLS,
    *signin.CALLS,
    *devices.CALLS,
    *workspaces.CALLS,
    *members.CALLS,
    *keys.CALLS,
    *health.CALLS,
)


class Site(Starlette):
    """Starlette, except that a WebSocket goes straight to `sockets`: what the middleware of HTTP does is to complete
    answers, which a socket has none of, and to go through all of it is a tenth of a handshake."""

    def __init__(self, sockets: ASGIApp, **given: Any) -> None:
        super().__init__(**given)
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Starlette`."""
        if scope["type"] == "websocket":
            scope["app"] = self
            await self._sockets(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_web(parts: Parts, *, sockets: Sequence[BaseRoute] = (), page: Sequence[BaseRoute] = ()) -> Starlette:
    """The application: REST, documents and health, the given socket routes, and the page's routes last."""
    settings = parts.settings
    rest = routes(parts, Measures(parts.metrics), CALLS)
    # A page whose node went away talks to another one: the listed origins may, with their cookie; nobody else may.
    shared = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_credentials=True,
        allow_methods=["GET", *sorted(WRITES)],
        allow_headers=["authorization", "content-type", "if-none-match"],
        expose_headers=["etag", "retry-after"],
    )
    app = Site(
        KnownHosts(Router(sockets, redirect_slashes=False), settings.allowed_hosts),
        routes=[*rest, *documents(CALLS, settings.public_url), *page],
        middleware=[
            Middleware(SecurityHeaders, secure=settings.secure),
            Middleware(KnownHosts, hosts=settings.allowed_hosts),
            shared,
        ],
        exception_handlers={RelayError: on_relay_error, HTTPException: on_http_error, Exception: on_unexpected},
    )
    app.router.redirect_slashes = False  # one address for one thing
    return app
