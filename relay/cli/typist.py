"""Hands what a person types to a session in order, so that reading keys never waits for a session that takes none."""

from __future__ import annotations

import asyncio

from relay.client.attachment import Attachment
from relay.rules import limits

WAITING_BYTES = limits.MIB  # typed or pasted and not taken yet; what comes on top of it is refused whole


class Typist:
    """Keys on their way into one session. Whoever reads the keyboard goes on reading, and so can always leave."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._waiting = bytearray()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def add(self, keys: bytes) -> bool:
        """Take keys; false if so much waits already that none of them are taken."""
        if len(self._waiting) + len(keys) > WAITING_BYTES:
            return False
        self._waiting += keys
        self._filled.set()
        self._emptied.clear()
        return True

    async def run(self) -> None:
        """Type for as long as this runs; the attachment tells what is not taken."""
        while True:
            await self._filled.wait()
            keys = bytes(self._waiting)
            self._waiting.clear()
            self._filled.clear()
            await self._attachment.write(keys)
            if not self._waiting:
                self._emptied.set()

    async def emptied(self) -> None:
        """Wait until everything is taken, or refused."""
        await self._emptied.wait()
