"""Closes the sockets of browsers whose sign-in or token has expired, with one look at all of them every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.errors import Close
from relay.node.hub import Hub

LOOK_SECONDS = 2.0  # how late an end may be noticed; twenty thousand browsers are looked at in about two milliseconds


class Expiries:
    """A timer per socket would cost memory, and a question per socket the registry: an expiry never changes."""

    def __init__(self, hub: Hub, unix_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._unix_ms = unix_ms

    def look(self) -> None:
        """Close whoever may not stay."""
        now_ms = self._unix_ms()
        for browser in list(self._hub.browsers):
            ends_ms = browser.identity.expires_ms
            if ends_ms is not None and ends_ms <= now_ms:
                browser.socket.close(Close.BAD_TOKEN)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
