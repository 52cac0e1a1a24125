"""Serves an application with uvicorn, and asks for a drain where uvicorn would drop everybody."""

from __future__ import annotations

import asyncio
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.errors import Close
from relay.rules import timing
from relay.rules.limits import FRAME_BYTES

HTTP_GRACE_SECONDS = 5  # for answers under way after the drain
LINGER_SECONDS = 1.0  # for the close frame of a peer that does not answer pings


class Wire(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, except that a peer without a pong leaves with our own code: nobody saw its socket drop."""

    def keepalive_timeout(self) -> None:
        """Say why, tell the application, and let the transport go."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(Close.NO_PONG, Close.NO_PONG.reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        farewell = {"type": "websocket.disconnect", "code": int(Close.NO_PONG), "reason": Close.NO_PONG.reason}
        self.queue.put_nowait(farewell)  # type: ignore[arg-type]
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)  # it may never read what waits for it


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
