"""Owns one client's input into one session: who may type, what waits for the agent, and what is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.client.events import InputLost, InputRefused
from relay.client.input_stream import Entry, InputStream
from relay.rules.frames import Kind

NOT_DRIVER = "not-driver"  # reasons in the agent's words
TOO_MUCH = "too-much-input"
OVER = "ended"


class Keyboard:
    """Takes input while the keyboard is ours, keeps it within the window, and sends it when the attachment is live."""

    def __init__(self, send: Callable[[Entry], None]) -> None:
        self.mine = False
        self._send = send
        self._stream = InputStream()
        self._term: int | None = None  # in which we had the keyboard last
        self._live = False
        self._closed = False
        self._stirred = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing will ever be taken again."""
        return self._closed

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

    def resume(self, applied: int, *, same_life: bool, mine: bool, term: int) -> InputLost | InputRefused | None:
        """An attach was answered. Says whether typed bytes are lost because nobody knows if they were applied, or are
        dropped because another client had the keyboard meanwhile: what they answered is not on the screen any more."""
        before, self._term = self._term, term
        self.mine = mine
        self._live = False
        lost = self._stream.resume(applied).lost_bytes if same_life else self._stream.restart(applied)
        stale = before is not None and before != term and self._stream.refuse(applied + 1) > 0
        self._stirred.set()
        if lost:
            return InputLost(lost)
        return InputRefused(NOT_DRIVER) if stale else None

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

    def refuse(self, sequence: int, reason: str) -> None:
        """The agent applies nothing from `sequence` on, and what we number anew comes behind all that it ignores. The
        keyboard stays ours if the program merely takes no more at the moment."""
        self.mine = self.mine and reason == TOO_MUCH
        self._stream.refuse(sequence)
        self._stirred.set()

    def pass_to(self, *, mine: bool, term: int) -> None:
        """The keyboard is ours now, or somebody else's."""
        self.mine = mine
        if mine:
            self._term = term
        self._stirred.set()

    def close(self) -> None:
        """Nothing more is taken."""
        self._closed = True
        self._stirred.set()
