"""Holds what waits to be written to one socket: in order, bounded in bytes, with a warning before it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from relay.rules import limits

PRESSED_BYTES = limits.OUTBOX_BYTES // 2  # from here on programs wait, so that the rest is for what cannot wait
EASED_BYTES = limits.OUTBOX_BYTES // 8  # below it they go on; a step between the two keeps them from stuttering


class Item(NamedTuple):
    """One message."""

    data: bytes
    text: bool


class Outbox:
    """What one connection has yet to send."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.size = 0
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._changed = changed
        self.pressed = False  # what can wait should

    @property
    def overflowed(self) -> bool:
        """Whether the peer takes so little that the connection must go."""
        return self.size > limits.OUTBOX_BYTES

    def put(self, data: bytes, *, text: bool) -> None:
        """Queue one message."""
        self._items.append(Item(data, text))
        self.size += len(data)
        self._filled.set()
        self._emptied.clear()
        if not self.pressed and self.size > PRESSED_BYTES:
            self.pressed = True
            self._changed()

    async def take(self) -> Item:
        """The next message, which counts as waiting until it is `sent`."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items[0]

    def sent(self) -> None:
        """The message that was taken last is on its way."""
        self.size -= len(self._items.popleft().data)
        if not self._items:
            self._emptied.set()
        if self.pressed and self.size < EASED_BYTES:
            self.pressed = False
            self._changed()

    async def emptied(self) -> None:
        """Wait until everything is on its way."""
        await self._emptied.wait()
