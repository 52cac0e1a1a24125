"""Serves an application with uvicorn, and asks for a drain where uvicorn would drop everybody."""

from __future__ import annotations

import asyncio
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from relay.web.door import Door
from relay.web.http import Limited, Patience
from relay.web.upgrade import Handshake

HTTP_GRACE_SECONDS = 5  # for answers under way after the drain


class DrainingServer(uvicorn.Server):
    """Uvicorn, but a signal only sets an event: by itself uvicorn would close every socket within 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_stop = asyncio.Event()
        self.asked_to_hurry = asyncio.Event()
        self._shares = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for a drain, the second for haste, the third for the end."""
        if self.asked_to_hurry.is_set():
            self.should_exit = True
        elif self.asked_to_stop.is_set():
            self.asked_to_hurry.set()
        self.asked_to_stop.set()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to listen; on sockets that others listen on as well if some are given."""
        self._shares = bool(sockets)
        await super().startup(sockets)

    def leave_shared(self) -> None:
        """Accept nobody any more from a socket that others accept from too; one of our own goes on answering."""
        if self._shares:
            for server in self.servers:
                server.close()

    @property
    def port(self) -> int:
        """The port that is listened on, also when a free one was asked for."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def configure(app: Starlette, host: str, port: int, limited: Limited) -> uvicorn.Config:
    """How every listener of ours is set up; `limited` counts the connections that pay for a limit."""
    own: dict[str, Any] = {"__slots__": (), "patience": Patience(limited)}
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("OwnDoor", (Door,), own),
        ws=Handshake,
        access_log=False,  # it would print query strings
        log_config=None,
        log_level="warning",
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # addresses.py decides whom to believe
        timeout_graceful_shutdown=HTTP_GRACE_SECONDS,
    )
