"""Receives every connection: most begin a WebSocket with one plain request, and all others get a whole HTTP parser."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from relay.web.http import Http, Patience, too_slow
from relay.web.opening import Opening, read_opening
from relay.web.upgrade import SPEC_VERSION, Handshake, last_answer

ASGI_VERSION = "3.0"  # uvicorn looks it up for each connection; ours is no application of ASGI 2


class Door(asyncio.Protocol):
    """One connection until it has said something. A storm of handshakes is a storm of equal requests, and the parser
    with its dozen of callbacks, which is right for whatever else may come, costs several times as much as these do."""

    __slots__ = ("_app_state", "_config", "_server", "_transport")

    patience: Patience  # set on a subclass for each server, for uvicorn makes the objects

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for what it wants, but not for ever."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        self._server.connections.add(self)  # type: ignore[arg-type]
        self.patience.begin(self)

    def data_received(self, data: bytes) -> None:
        """Give the connection to whoever it is for."""
        self._leave()
        opening = read_opening(data)
        if opening is None:
            http = Http(self._config, self._server, self._app_state, self.patience)
            http.connection_made(self._transport)
            self._transport.set_protocol(http)
            http.data_received(data)
        else:
            handshake = Handshake(self._config, self._server, self._app_state)
            self._transport.set_protocol(handshake)
            handshake.begin(self._transport, self._scope(opening), data[opening.size :])

    def _scope(self, opening: Opening) -> dict[str, Any]:
        """As `Http` makes it."""
        root, path = self._config.root_path, opening.path.decode()
        return {
            "type": "websocket",
            "asgi": {"version": ASGI_VERSION, "spec_version": SPEC_VERSION},
            "http_version": "1.1",
            "server": _address(self._transport.get_extra_info("sockname")),
            "client": _address(self._transport.get_extra_info("peername")),
            "scheme": "wss" if self._config.is_ssl else "ws",
            "root_path": root,
            "headers": opening.headers,
            "state": self._app_state.copy(),
            "method": "GET",
            "path": root + path,
            "raw_path": (root + path).encode(),
            "query_string": opening.query,
        }

    def give_up(self, limit: str) -> None:
        """See `Unfinished`."""
        self.patience.limited(limit)
        self._leave()
        refusal = too_slow()
        headers = [*self._server.default_headers, *refusal.headers]
        self._transport.write(last_answer(refusal.status, headers, refusal.body))
        self._transport.close()

    def too_late(self) -> None:
        """See `Waited`."""
        self.give_up("REQUEST_READ_SECONDS")

    def _leave(self) -> None:
        self.patience.end(self)
        self._server.connections.discard(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It left without a word."""
        self._leave()

    def shutdown(self) -> None:
        """Called by uvicorn when the process ends."""
        self._transport.close()


def _address(name: Any) -> tuple[str, int] | None:
    """Host and port of a socket's name, as ASGI wants them; uvicorn makes a socket to ask it."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
