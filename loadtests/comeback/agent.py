"""Keeps one machine connected by the rules of the real agent, as every load test does, and notes what happens to it."""

from __future__ import annotations

from loadtests.comeback.journal import Journal
from loadtests.engine.line import Line
from loadtests.engine.machine import Machine, Seat
from loadtests.engine.peer import World
from relay.client.ends import Closed


class Agent(Machine):
    """One simulated agent without sessions."""

    def __init__(self, seat: Seat, world: World, journal: Journal) -> None:
        super().__init__(seat, world)
        self._journal = journal

    def welcomed(self, line: Line, text: bytes) -> bool:
        """Note which node took it."""
        welcome = super().welcomed(line, text)
        if welcome:
            self._journal.note_welcomed(self.seat.id, line.node)
        return welcome

    def lost(self, end: Closed | None) -> None:
        """Note how its connection ended."""
        super().lost(end)
        if end is not None:
            self._journal.note_lost(self.seat.id, end.close_code)

    async def replacement(self) -> Line | None:
        """Note that it had moved before it lost its connection, if so."""
        line = await super().replacement()
        if line is not None:
            self._journal.note_moved()
        return line
