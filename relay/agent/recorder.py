"""Writes what sessions put out to the history, again and again and once more at the end."""

from __future__ import annotations

import sqlite3

import structlog

from relay.agent.clock import Clock
from relay.agent.history import History
from relay.agent.sessions import Sessions

RECORD_SECONDS = 2.0  # output that a crash of this computer may cost the history


class Recorder:
    """Takes from the sessions what is not written yet; what cannot be written stays with them."""

    def __init__(self, sessions: Sessions, history: History, clock: Clock) -> None:
        self._sessions = sessions
        self._history = history
        self._clock = clock

    async def run(self) -> None:
        """Record every two seconds, until cancelled."""
        while True:
            await self._clock.sleep(RECORD_SECONDS)
            await self.record()

    async def record(self) -> None:
        """Write what is not written yet."""
        entries = self._sessions.unwritten()
        if not entries:
            return
        try:
            await self._history.keep(entries, self._clock.unix())
        except sqlite3.Error as error:
            # Sessions matter more than their history: a full disk must not end them.
            structlog.get_logger().error("the history cannot be written", why=str(error))
            self._sessions.not_written(entries)
