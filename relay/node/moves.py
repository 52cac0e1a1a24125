"""Notices that a machine has moved away from the node that browsers here are attached through, and lets them go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from relay.node.hub import Hub
from relay.node.strands import Strands
from relay.rules import ids
from relay.rules.presence import Record

GATHER_SECONDS = 0.05  # machines that lost their node come back in a storm, and one look answers several bells

# A node that dies says nothing, and its lanes are missed only after three seconds. Long before that its machines are
# back elsewhere, which rings the bell of their workspace. It is a hint as all bells are: what is true is the record.


class Waiting(Protocol):
    """Those who asked a node for a machine and have no answer yet; a dead one gives none."""

    def awaits(self, machine: str) -> bool:
        """Whether there is anybody."""

    def moved(self, machine: str, node: str) -> None:
        """The machine is on this node."""


class Moves:
    """Listens to the bells of workspaces in which somebody here asked for a machine of another node."""

    def __init__(
        self,
        hub: Hub,
        waiting: Waiting,
        locate: Callable[[str, str], Awaitable[Record | None]],
        shard: Callable[[str], int],
    ) -> None:
        self._hub = hub
        self._waiting = waiting
        self._locate = locate
        self._strands: Strands[tuple[str, str]] = Strands(  # of machines attached to from here: bounded by attachments
            "who looks where a machine is", lambda place: shard(place[0]), self._look, gather_seconds=GATHER_SECONDS
        )

    def rung(self, workspace: str, machines: Iterable[str]) -> None:
        """Something is new about these machines of a workspace."""
        for machine in machines:
            if self._waiting.awaits(machine) or (self._hub.away and self._hub.away_sessions(ids.raw(machine))):
                self._strands.add((workspace, machine))

    async def run(self) -> None:
        """Look until cancelled; what Redis does not answer is left to the lanes."""
        await self._strands.run()

    async def _look(self, place: tuple[str, str]) -> None:
        record = await self._locate(*place)
        if record is not None:
            self.moved(record)

    def moved(self, record: Record) -> None:
        """End the attachments that were made through an older connection of this machine, on another node, and let
        those that wait for such a node look again."""
        self._waiting.moved(record.machine, record.node)
        raw = ids.raw(record.machine)
        for session in self._hub.away_sessions(raw):
            away = self._hub.away[raw, session]
            if away.home != record.node and away.generation < record.fence.generation:
                self._hub.away_ended(raw, session).audience.dismiss("machine-gone")
