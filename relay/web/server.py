"""Serves an application with uvicorn, and asks for a drain where uvicorn would drop everybody."""

from __future__ import annotations

import asyncio
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.errors import Close
from relay.rules import timing
from relay.rules.limits import FRAME_BYTES

HTTP_GRACE_SECONDS = 5  # for answers under way after the drain
LINGER_SECONDS = 1.0  # for the close frame of a peer that does not answer pings
FAREWELL_SECONDS = 5.0  # for a peer to read what was sent and to answer our close


class Wire(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, except that its own closes have our codes, so that nobody takes a peer without a pong for a
    socket that dropped; and that nobody keeps a connection by not reading, on which uvicorn's close waits for ever."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send; after a close the peer has a limited time, also when the close itself is stuck behind what it does not
        read."""
        if message["type"] == "websocket.close":
            self.loop.call_later(FAREWELL_SECONDS, self._drop)
        await super().send(message)

    def _drop(self) -> None:
        if not self.disconnected:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """Say why, tell the application, and let the transport go."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.close_sent or self.transport.is_closing():
            return
        self._say(Close.NO_PONG)
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)  # it may never read what waits for it

    def shutdown(self) -> None:
        """Tell whoever is still here when the process ends a code that the peers know; uvicorn's is 1012."""
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self._say(Close.GOING_AWAY)
        super().shutdown()

    def _say(self, code: Close) -> None:
        """Write a close of our own, past whoever waits to write, and let the application know."""
        self.conn.send_close(code, code.reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        farewell = {"type": "websocket.disconnect", "code": int(code), "reason": code.reason}
        self.queue.put_nowait(farewell)  # type: ignore[arg-type]


class DrainingServer(uvicorn.Server):
    """Uvicorn, but a signal only sets `asked_to_stop`: by itself uvicorn would close every socket within 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_stop = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for a drain, the second hurries."""
        if self.asked_to_stop.is_set():
            self.should_exit = True
        self.asked_to_stop.set()

    @property
    def port(self) -> int:
        """The port that is listened on, also when a free one was asked for."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def configure(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """How every listener of ours is set up."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        ws=Wire,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=timing.PING_SECONDS,
        ws_ping_timeout=timing.PONG_SECONDS,
        ws_per_message_deflate=False,  # it costs 2.4 times the memory and much more CPU
        access_log=False,  # it would print query strings
        log_config=None,
        log_level="warning",
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # addresses.py decides whom to believe
        timeout_graceful_shutdown=HTTP_GRACE_SECONDS,
    )
