"""Notices that a machine has moved away from the node that browsers here are attached through, and lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from relay.errors import RelayError
from relay.node.hub import Hub
from relay.rules import ids
from relay.rules.presence import Record

GATHER_SECONDS = 0.05  # machines that lost their node come back in a storm, and one look answers several bells

# A node that dies says nothing, and its lanes are missed only after three seconds. Long before that its machines are
# back elsewhere, which rings the bell of their workspace. It is a hint as all bells are: what is true is the record.


class Moves:
    """Listens to the bells of workspaces in which somebody here asked for a machine of another node."""

    def __init__(self, hub: Hub, locate: Callable[[str, str], Awaitable[Record | None]]) -> None:
        self._hub = hub
        self._locate = locate
        self._due: dict[str, str] = {}  # workspaces by machine, of those attached to from here: bounded by attachments
        self._rung = asyncio.Event()

    def rung(self, message: bytes) -> None:
        """Something is new about these machines of a workspace."""
        bell = msgspec.json.decode(message)
        away = {machine for machine, _ in self._hub.away} if self._hub.away else ()
        for machine in bell["machines"]:
            if away and ids.raw(machine) in away:
                self._due[machine] = bell["workspace"]
                self._rung.set()

    async def run(self) -> None:
        """Look until cancelled; what Redis does not answer is left to the lanes."""
        while True:
            await self._rung.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._rung.clear()
            due, self._due = self._due, {}
            for machine, workspace in due.items():
                try:
                    record = await self._locate(workspace, machine)
                except RelayError as error:
                    structlog.get_logger().info("nobody knows where a machine is", machine=machine, why=error.message)
                    continue
                if record is not None:
                    self.moved(record)

    def moved(self, record: Record) -> None:
        """End the attachments that were made through an older connection of this machine, on another node."""
        raw = ids.raw(record.machine)
        for key, away in list(self._hub.away.items()):
            if key[0] == raw and away.home != record.node and away.generation < record.fence.generation:
                del self._hub.away[key]
                away.audience.dismiss("machine-gone")
