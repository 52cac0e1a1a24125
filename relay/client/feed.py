"""Hands one attachment's events to its reader in order, bounded in bytes, and knows which of them were handed over."""

from __future__ import annotations

import asyncio
from collections import deque

from relay.client.events import Event
from relay.errors import RelayError
from relay.rules import limits

QUEUE_BYTES = limits.RING_BYTES  # output that waits for its reader; agents hold back before it comes to this


class Feed:
    """A queue with one reader. When it is full it says so once, and its owner asks for the rest when it has drained."""

    def __init__(self, limit_bytes: int = QUEUE_BYTES) -> None:
        self._limit = limit_bytes
        self._events: deque[tuple[Event, int, int]] = deque()  # with sequence and size
        self._bytes = 0
        self._failure: RelayError | None = None
        self._closed = False
        self._stirred = asyncio.Event()
        self.overflown = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, sequence: int = 0, size: int = 0) -> None:
        """Queue an event; `sequence` is 0 for those that are not output."""
        self._events.append((event, sequence, size))
        self._bytes += size
        self.overflown = self.overflown or self._bytes > self._limit
        self._stirred.set()

    async def next(self) -> tuple[Event, int, int] | None:
        """The next event with its sequence and size, or None at the end; raises what ended the feed."""
        while not self._events:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return None
            self._stirred.clear()
            await self._stirred.wait()
        event, sequence, size = self._events.popleft()
        self._bytes -= size
        return event, sequence, size

    def forget_numbers(self) -> None:
        """Output is numbered anew: handing over what is queued says nothing about the new numbers."""
        self._events = deque((event, 0, size) for event, _, size in self._events)

    def close(self, failure: RelayError | None = None) -> None:
        """End after what is queued, with an error or without; the first end counts."""
        if not self._closed:
            self._closed = True
            self._failure = failure
        self._stirred.set()
