"""Takes one request through the same steps whatever it asks: who, from where, what; and answers every error."""

from __future__ import annotations

import time
from collections.abc import Iterable
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from relay.errors import Forbidden, MethodNotAllowed, NotFound, RelayError, Unavailable
from relay.rules.access import Identity
from relay.traces import UNTOLD, Span
from relay.web.addresses import Addresses
from relay.web.auth import COOKIE, bearer_token
from relay.web.bodies import read_body, read_query
from relay.web.call import WRITES, Ask, Call, nothing
from relay.web.measures import Measures
from relay.web.origin import check_write
from relay.web.parts import Parts
from relay.web.problems import internal, on_relay_error, problem

PEOPLES = "/api/"  # what people and their programs call; all else is for those who watch


class Endpoint:
    """All calls on one path."""

    def __init__(self, parts: Parts, measures: Measures, calls: Iterable[Call]) -> None:
        self._parts = parts
        self._measures = measures
        self._calls: dict[str, Call] = {call.method: call for call in calls}
        if "GET" in self._calls:
            self._calls["HEAD"] = self._calls["GET"]  # served, and not documented apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever its method."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        call = self._calls.get(request.method)
        if call is None:
            allowed = ", ".join(sorted(self._calls))
            return problem(MethodNotAllowed(f"this path takes {allowed}"), {"allow": allowed})
        began = time.perf_counter()
        span = self._follow(call, request)
        try:
            response = await self._serve(call, request, span.carried)
        except RelayError as error:
            response = await on_relay_error(request, _unnamed(call, error))
        except Exception as error:
            response = internal(request, error)
        except BaseException:
            span.end("left")
            raise
        span.end(str(response.status_code) if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else "")
        self._measures.answered(call.name, response.status_code, time.perf_counter() - began)
        return response

    def _follow(self, call: Call, request: Request) -> Span:
        if not call.path.startswith(PEOPLES):
            return UNTOLD  # probes, which come every second from everywhere
        traces, told = self._parts.router.hub.traces, request.headers.get("traceparent", "")
        return traces.follow(f"{call.method} {call.path}", told, operation=call.name)

    async def _serve(self, call: Call, request: Request, carried: str) -> Response:
        parts = self._parts
        if call.method in WRITES:
            # Also calls that take anybody look at the cookie: whoever is signed in joins a workspace as who they are.
            asks = call.asker != "anybody" or COOKIE in request.cookies
            by_cookie = asks and bearer_token(request.headers) is None
            check_write(request.headers, parts.settings.allowed_origins, by_cookie)
        identity = await self._who(call, request)
        query = read_query(request, call.query) if call.query is not None else None
        body = await read_body(request, call.body) if call.body is not None else None
        try:
            response = await call.handle(Ask(parts, request, identity, body, query, carried))
        except (NotFound, Forbidden):
            # Both are said before anything is done, or undo what was, so that the call can be made once more.
            identity = identity and await parts.authenticator.anew(request.headers, request.cookies, identity)
            if identity is None:
                raise
            response = await call.handle(Ask(parts, request, identity, body, query, carried))
        if call.changes:
            await self._spread()
        return response

    async def _who(self, call: Call, request: Request) -> Identity | None:
        if call.asker == "anybody":
            return None
        addresses = Addresses(self._parts.settings.trusted_proxies)
        identity = await self._parts.authenticator.identity(
            request.headers, request.cookies, lambda: addresses.client(request.scope)
        )
        if call.asker == "person" and identity.person is None:
            raise Forbidden("this is for people, not for workspace keys")
        return identity

    async def _spread(self) -> None:
        # The change is stored. Whoever misses the bell finds it at the next look at the table.
        try:
            await self._parts.changed()
        except Unavailable as error:
            structlog.get_logger().warning("a change could not be rung for", reason=error.message)


def _unnamed(call: Call, error: RelayError) -> RelayError:
    """Whatever was not found behind an id in a path, and by whom: the same words, or they would tell what there is."""
    return nothing() if isinstance(error, NotFound) and "{" in call.path else error


def routes(parts: Parts, measures: Measures, calls: Iterable[Call]) -> list[Route]:
    """One route per path of the table, each answering its own methods and refusing the others."""
    by_path: dict[str, list[Call]] = {}
    for call in calls:
        by_path.setdefault(call.path, []).append(call)
    # Without methods of its own, so that a wrong one gets our problem rather than the router's.
    return [Route(path, Endpoint(parts, measures, found)) for path, found in by_path.items()]
