"""Reads HTTP requests as uvicorn does, within limits, and hands those that begin a WebSocket over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from relay.node.deadlines import Deadlines
from relay.rules.limits import HALF_OPEN_CONNECTIONS, HEAD_BYTES, HEADERS_PER_REQUEST, KIB
from relay.web.opening import Headers
from relay.web.upgrade import SPEC_VERSION, Handshake, Refusal, last_answer

REQUEST_READ_SECONDS = 10.0  # from a connection to its first byte, and from a request's first byte to its last
PIECE_BYTES = 1 * KIB  # read at once: what the parser keeps to itself is known as exactly; most requests are one

Limited = Callable[[str], None]  # counts that a limit was met


class Unfinished(Protocol):
    """A connection whose request is not whole."""

    def give_up(self, limit: str) -> None:
        """End it, for this limit."""

    def too_late(self) -> None:
        """See `Waited`."""


class Patience:
    """How long the connections of one server are waited for, and how many at a time."""

    def __init__(self, limited: Limited) -> None:
        self.limited = limited
        self._unfinished: Deadlines[Unfinished] = Deadlines(REQUEST_READ_SECONDS)

    def begin(self, connection: Unfinished) -> None:
        """A request of this connection is to be whole in time; if too many are waited for, the oldest is not."""
        self._unfinished.begin(connection)
        if len(self._unfinished) > HALF_OPEN_CONNECTIONS:
            # An honest request is whole within milliseconds, so the one that waits longest is the least honest.
            self._unfinished.oldest.give_up("HALF_OPEN_CONNECTIONS")

    def end(self, connection: Unfinished) -> None:
        """It is whole, or will never be."""
        self._unfinished.end(connection)


class Http(HttpToolsProtocol):
    """Uvicorn's HTTP, except that a request must be whole in time and its head small, that only so many may be
    unfinished at once, that nothing is written into an answer, and that bytes behind an upgrade belong to the
    WebSocket."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], patience: Patience
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._patience = patience
        self._kept_bytes = 0  # of this request's line and headers
        self._held_bytes = 0  # given to the parser since it last handed something over: half a header, perhaps
        self._parting = False  # no more is read, and the connection ends with the answers that are under way

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock on the first request."""
        super().connection_made(transport)
        self._patience.begin(self)

    # --- limits ------------------------------------------------------------------------------------------------

    def give_up(self, limit: str) -> None:
        """See `Unfinished`."""
        self._patience.limited(limit)
        self._refuse(too_slow())

    def too_late(self) -> None:
        """See `Waited`."""
        self.give_up("REQUEST_READ_SECONDS")

    def _keep(self, size: int) -> None:
        self._held_bytes = 0
        self._kept_bytes += size
        if self._kept_bytes > HEAD_BYTES:
            raise self._too_large("HEAD_BYTES")

    def _too_large(self, limit: str) -> Refusal:
        self._patience.limited(limit)
        return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of this request is too large.")

    def _refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being read with this and close, but never in place of an answer that is due
        before, nor into one that has begun."""
        self._patience.end(self)
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope and cycle.more_body:  # half of this one is handed over
            if self.pipeline:  # to nobody yet: it is the last of those that wait
                self.pipeline.popleft()
                self._part()
                return
            answered = cycle.response_started
            cycle.disconnected = True
        elif cycle is not None and not cycle.response_complete:
            self._part()
            return
        else:
            answered = False
        if not answered:
            headers = [*self.server_state.default_headers, *refusal.headers]
            self.transport.write(last_answer(refusal.status, headers, refusal.body))
        self.transport.close()

    def _part(self) -> None:
        self._parting = True
        self.transport.pause_reading()

    def on_response_complete(self) -> None:
        """Go on, or end with the last answer."""
        if self._parting and not self.pipeline:
            self.transport.close()
        super().on_response_complete()

    # --- what the parser calls ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start the clock on each request."""
        super().on_message_begin()
        self._kept_bytes = self._held_bytes = 0
        self._patience.begin(self)

    def on_url(self, url: bytes) -> None:
        """One piece of it; there may be many."""
        self._keep(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser leaves white space behind a value, which is none of it. Trailers come here, too."""
        self._keep(len(name) + len(value))
        if len(self.headers) == HEADERS_PER_REQUEST:
            raise self._too_large("HEADERS_PER_REQUEST")
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """An offer to speak something else is ignored, as RFC 9110 has it, but not with a body: the parser would take
        that for the next request, which is how requests are smuggled."""
        self._held_bytes = 0
        if self.parser.should_upgrade() and not self._should_upgrade() and _announces_body(self.headers):
            raise Refusal(HTTPStatus.BAD_REQUEST, "An upgrade has no body.")
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """The parser has read the length of a chunk; what it held is over."""
        self._held_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of it; the application decides how much it takes."""
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock."""
        self._held_bytes = 0
        self._patience.end(self)
        super().on_message_complete()

    # --- what the event loop calls -----------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._patience.end(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn does, but in pieces, and hand on what follows an upgrade in the same read; uvicorn drops it."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), PIECE_BYTES):
            if self._parting:
                self.transport.pause_reading()  # an answer that is under way asked for more
                return
            piece = data[start : start + PIECE_BYTES]
            self._held_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
                if self._kept_bytes + self._held_bytes > HEAD_BYTES:
                    raise self._too_large("HEAD_BYTES")
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[start + upgrade.args[0] :])
                return
            except (httptools.HttpParserError, Refusal) as error:
                reason = error if isinstance(error, Refusal) else error.__context__  # what a callback raised
                invalid = Refusal(HTTPStatus.BAD_REQUEST, "Invalid HTTP request received.")
                self._refuse(reason if isinstance(reason, Refusal) else invalid)
                return

    # --- upgrades ----------------------------------------------------------------------------------------------

    def _upgrade(self, behind: bytes) -> None:
        self._patience.end(self)
        ours = self._should_upgrade()
        if not ours and not behind:
            return  # an offer that nobody takes up; the request itself is under way
        try:
            if not ours or (self.cycle is not None and not self.cycle.response_complete):
                raise Refusal(HTTPStatus.BAD_REQUEST, "This upgrade is not possible here.")
            if self.transport.get_write_buffer_size():
                # It would count as the WebSocket's, and whoever takes that over is not told how full it is already.
                raise Refusal(HTTPStatus.BAD_REQUEST, "Read the answers before this upgrade.")
            scope = self._socket_scope()
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self.connections.discard(self)
        assert self.ws_protocol_class is not None
        protocol = self.ws_protocol_class(self.config, self.server_state, self.app_state)  # type: ignore[call-arg]
        assert isinstance(protocol, Handshake)
        self.transport.set_protocol(protocol)
        protocol.begin(self.transport, scope, behind)
        # The parser holds this object: without this only the collector would find the two, for each handshake.
        self.parser = None  # type: ignore[assignment]

    def _socket_scope(self) -> dict[str, Any]:
        try:
            url = httptools.parse_url(self.url)
            path = (url.path or b"").decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            path = ""
        if not path:
            raise Refusal(HTTPStatus.BAD_REQUEST, "This is not a path.")
        return self.scope | {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": SPEC_VERSION},
            "scheme": "wss" if self.scheme == "https" else "ws",
            "path": self.root_path + unquote(path),
            "raw_path": (self.root_path + path).encode(),
            "query_string": url.query or b"",
        }


def too_slow() -> Refusal:
    """What is said to whoever keeps us waiting."""
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request was not whole in time.")


def _announces_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in headers
    )
