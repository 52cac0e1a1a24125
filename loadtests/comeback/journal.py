"""Notes what happened to agents since the last mark: who lost its connection when, who was welcomed, who refused."""

from __future__ import annotations

import time
from typing import Any

from loadtests.engine.tally import Tally


class Journal:
    """Moments are of the system's monotonic clock, which all processes of a host share. What all peers have in common
    is in the tally of their process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.mark()

    def mark(self) -> None:
        """Forget what was before."""
        self.lost: list[tuple[float, str, int]] = []  # when, which machine, close code
        self.moved: list[float] = []  # when a connection ended because its agent had moved
        self.welcomed: list[tuple[float, str, str]] = []  # when, which machine, by which node
        self._tally.refused.clear()
        self._tally.errors.clear()
        self._tally.took.clear()

    def note_lost(self, machine: str, code: int) -> None:
        """A connection ended for whatever reason but that the agent moved."""
        self.lost.append((time.monotonic(), machine, code))

    def note_moved(self) -> None:
        """A connection ended that its agent had replaced already."""
        self.moved.append(time.monotonic())

    def note_welcomed(self, machine: str, node: str) -> None:
        """A node took an agent."""
        self.welcomed.append((time.monotonic(), machine, node))

    def as_data(self) -> dict[str, Any]:
        """All of it, for the process that asked."""
        return {
            "lost": self.lost,
            "moved": self.moved,
            "welcomed": self.welcomed,
            "refused": dict(self._tally.refused),  # handshakes, by reason
            "turns": self._tally.took["turn"],  # seconds that busy nodes asked for
            "ended": list(self._tally.errors.elements()),  # agents that will not come back, and why
        }
