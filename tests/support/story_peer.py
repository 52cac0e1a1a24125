"""Plays the far end of a socket that a node's conversation holds: it takes everything, and leaves as peers leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from relay.errors import Close, RelayError
from relay.node.errands import Errands
from relay.node.socket import LOST, Listener
from relay.rules import frames

Told = Callable[[dict[str, Any]], None]


class Peer:
    """One connection, as the node's `Carrier` and as the peer behind it."""

    def __init__(self, errands: Errands, told: Told = lambda message: None) -> None:
        self._errands = errands
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()
        self.listener: Listener | None = None
        self.closing: Close | None = None
        self.ended = False
        self.heard: list[dict[str, Any]] = []
        self.frames: list[bytes] = []

    # --- what the node does ------------------------------------------------------------------------------------

    def send_text(self, data: bytes) -> bool:
        """Note a message, and let the peer act on it in its own turn."""
        message = json.loads(data)
        self.heard.append(message)
        asyncio.get_running_loop().call_soon(self._told, message)
        return True

    def send_binary(self, data: bytes) -> bool:
        """Note a frame."""
        self.frames.append(data)
        return True

    def send_ready(self, data: bytes) -> bool:
        """Note the frames behind their WebSocket heads, all of which are short here."""
        while data:
            assert data[1] < 126, "stories are told in short frames"
            self.send_binary(data[2 : 2 + data[1]])
            data = data[2 + data[1] :]
        return True

    async def drained(self) -> None:
        """There is always room."""

    def close(self, code: Close) -> None:
        """The node ends it; the peer answers at once."""
        if self.closing is None and not self.ended:
            self.closing = code
            asyncio.get_running_loop().call_soon(self._end, int(code))

    def refuse(self, error: RelayError) -> None:
        """The same, for what an error means."""
        self.close(error.close)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the connection ends."""
        if self.ended:
            work.close()
            return
        task = self._errands.start(work, self._failed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, RelayError):
            raise error
        self.refuse(error)

    async def serve(self, listener: Listener) -> None:
        """Whoever opens a `Peer` names its listener."""
        raise NotImplementedError

    # --- what the peer does ------------------------------------------------------------------------------------

    def says(self, **message: Any) -> None:
        """A control message."""
        self._hand_over(lambda listener: listener.text(json.dumps(message)))

    def sends(self, frame: bytes) -> None:
        """A frame."""
        self._hand_over(lambda listener: listener.binary(frame))

    def _hand_over(self, hand: Callable[[Listener], None]) -> None:
        if self.ended or self.closing is not None:
            return
        assert self.listener is not None
        try:
            hand(self.listener)
        except RelayError as error:
            self.refuse(error)
        self.listener.flush()

    def is_lost(self) -> None:
        """The connection breaks."""
        self._end(LOST)

    def _end(self, code: int) -> None:
        if self.ended:
            return
        self.ended = True
        for task in self._tasks:
            task.cancel()
        assert self.listener is not None
        self.listener.closed(code, "")

    def vanishes(self) -> None:
        """Its node is gone, and tells nobody."""
        self.ended = True
        for task in self._tasks:
            task.cancel()

    def payloads(self) -> list[bytes]:
        """What its frames carried since this was asked before."""
        taken, self.frames = self.frames, []
        return [frames.payload(frame) for frame in taken]
