"""Reads this program's standard input for an event loop, whatever it is: a pipe, a file, or nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading

from relay.rules import limits

READ_AHEAD = 4  # pieces read before they are asked for


class StandardInput:
    """Pieces of standard input. A thread reads, because a file cannot be waited for; it holds nobody up at the end."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(READ_AHEAD)
        self._thread = threading.Thread(target=self._read, name="standard input", daemon=True)
        self._thread.start()

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        piece = await self._pieces.get()
        self._room.release()
        return piece

    def _read(self) -> None:
        piece = b"-"
        while piece:
            self._room.acquire()
            try:
                piece = os.read(self._descriptor, limits.CHUNK_BYTES)
            except OSError:
                piece = b""
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody asks any more
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
