"""Keeps what a browser has posted until its socket takes it."""

from __future__ import annotations

import asyncio
from collections import deque

from relay.client.dial import Socket
from relay.client.ends import Closed

Outgoing = str | bytes  # a control message, or a frame


class Outbox:
    """What is posted, in order, for the socket that is open now. Those who post bound it: unanswered requests and
    input that is not acknowledged have limits of their own."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()  # since the last one was put
        self._taken.set()

    def put(self, outgoing: Outgoing) -> None:
        """Post one more."""
        self._waiting.append(outgoing)
        self._taken.clear()
        self._filled.set()

    def clear(self) -> None:
        """Forget what no socket has taken: whoever posted it says what matters again on the next one."""
        self._waiting.clear()
        self._taken.set()

    async def empty(self) -> None:
        """Wait until the socket has taken everything."""
        await self._taken.wait()

    async def write_to(self, socket: Socket) -> None:
        """Send what is posted until the socket ends, which its reader notices."""
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._waiting:
                    outgoing = self._waiting.popleft()
                    if isinstance(outgoing, str):
                        await socket.send_text(outgoing)
                    else:
                        await socket.send_binary(outgoing)
                self._taken.set()
        except Closed:
            return
