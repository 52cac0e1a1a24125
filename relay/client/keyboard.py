"""Owns one client's input into one session: who may type, what waits for the agent, and what is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.client.input_stream import Entry, InputStream
from relay.rules.frames import Kind


class Keyboard:
    """Takes input while the keyboard is ours, keeps it within the window, and sends it when the attachment is live."""

    def __init__(self, send: Callable[[Entry], None]) -> None:
        self.mine = False
        self._send = send
        self._stream = InputStream()
        self._live = False
        self._closed = False
        self._stirred = asyncio.Event()

    async def enter(self, kind: Kind, payload: bytes) -> bool:
        """Take one input, waiting while the window is full; false when it is not taken."""
        while self.mine and not self._closed:
            if len(payload) <= self._stream.room:
                entry = self._stream.add(kind, payload)
                if self._live:
                    self._send(entry)
                return True
            self._stirred.clear()
            await self._stirred.wait()
        return False

    def resume(self, applied: int, *, same_life: bool, mine: bool) -> int:
        """An attach was answered. Says how many bytes are lost, because nobody knows whether they were applied."""
        self.mine = mine
        self._live = False
        lost = self._stream.resume(applied).lost_bytes if same_life else self._stream.restart(applied)
        self._stirred.set()
        return lost

    def go_live(self) -> None:
        """The attachment has caught up: send all that waits, again or for the first time."""
        self._live = True
        for entry in self._stream.waiting():
            self._send(entry)

    def pause(self) -> None:
        """The attachment is gone for now; what is typed waits within the window."""
        self._live = False

    def acknowledge(self, sequence: int) -> None:
        """The agent has applied everything up to `sequence`."""
        self._stream.acknowledge(sequence)
        self._stirred.set()

    def refuse(self, sequence: int) -> None:
        """The agent applies nothing from `sequence` on. Nothing is taken until the keyboard is ours again, because
        refusals still under way name numbers that would otherwise be given a second time."""
        self.mine = False
        self._stream.refuse(sequence)
        self._stirred.set()

    def pass_to(self, *, mine: bool) -> None:
        """The keyboard is ours now, or somebody else's."""
        self.mine = mine
        self._stirred.set()

    def close(self) -> None:
        """Nothing more is taken."""
        self._closed = True
        self._stirred.set()
