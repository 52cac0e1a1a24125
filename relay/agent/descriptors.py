"""Reads and writes a program's file descriptors whenever they are ready, never blocking the event loop."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

from relay.rules import limits


class Reader:
    """Reads one descriptor, which it owns, until its end; can be paused, and then the program waits."""

    def __init__(self, descriptor: int, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._received = received
        self._ended = ended
        self._reading = False
        self.total_bytes = 0

    @property
    def open(self) -> bool:
        """Whether more may come."""
        return self._descriptor is not None

    def resume(self) -> None:
        """Read on."""
        if self._descriptor is not None and not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._descriptor, self._ready)

    def pause(self) -> None:
        """Leave the rest in the kernel."""
        if self._descriptor is not None and self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def close(self) -> None:
        """Read no more; says that it ended, once."""
        if self._descriptor is None:
            return
        self.pause()
        os.close(self._descriptor)
        self._descriptor = None
        self._ended()

    def _ready(self) -> None:
        """Take what is there, up to one chunk, so that a flood takes turns with everything else on the loop."""
        assert self._descriptor is not None, "a closed descriptor is not read"
        parts = []
        room = limits.CHUNK_BYTES
        ended = False
        while room:
            try:
                data = os.read(self._descriptor, room)
            except BlockingIOError:
                break
            except OSError:
                ended = True  # EIO: nobody has the other side of this terminal open any more
                break
            if not data:
                ended = True
                break
            parts.append(data)
            room -= len(data)
        if parts:
            data = b"".join(parts)
            self.total_bytes += len(data)
            self._received(data)
        if ended:
            self.close()


class Writer:
    """Writes to one descriptor in order, and says of each piece when the program's side has taken all of it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._waiting: deque[tuple[memoryview, Callable[[], None]]] = deque()
        self._ending = False
        self._watching = False
        self.size = 0  # bytes that wait

    def write(self, data: bytes, written: Callable[[], None]) -> None:
        """Write a piece. To a descriptor that has ended it counts as written: there is nobody to read it."""
        if self._descriptor is None or self._ending:
            written()
            return
        self._waiting.append((memoryview(data), written))
        self.size += len(data)
        if not self._watching:
            self._flush()

    def end(self) -> None:
        """Close once everything is written."""
        self._ending = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close now; what waits counts as written."""
        if self._descriptor is not None:
            self._watch(False)
            os.close(self._descriptor)
            self._descriptor = None
        while self._waiting:
            _, written = self._waiting.popleft()
            written()
        self.size = 0

    def _flush(self) -> None:
        assert self._descriptor is not None, "a closed descriptor is not written"
        while self._waiting:
            view, written = self._waiting[0]
            try:
                count = os.write(self._descriptor, view) if view else 0
            except BlockingIOError:
                self._watch(True)
                return
            except OSError:
                self.close()  # EPIPE, EIO: the program closed its input or is gone
                return
            self.size -= count
            if count < len(view):
                self._waiting[0] = (view[count:], written)
                continue
            self._waiting.popleft()
            written()
        self._watch(False)
        if self._ending:
            self.close()

    def _watch(self, wanted: bool) -> None:
        if wanted == self._watching:
            return
        assert self._descriptor is not None, "only an open descriptor is watched"
        self._watching = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_writer(self._descriptor, self._flush)
        else:
            loop.remove_writer(self._descriptor)
