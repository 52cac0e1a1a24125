"""Compares, for some machines each minute, what this node holds with what Redis says that it does."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import structlog

from relay.errors import RelayError
from relay.node.hub import Hub
from relay.rules import metrics
from relay.rules.presence import Record
from relay.rules.timing import FLUSH_SECONDS
from relay.store import Presence
from relay.store.places import Places

EVERY_SECONDS = 60.0
PAGES = 16  # of Redis's list of places, each time: a small cluster's is read whole within some minutes
SAMPLE = 200  # machines held here and compared each time: all of a small node, and enough of a large one
# A machine that moves is on two nodes in Redis's eyes or none for a moment, and one that Redis lost is put back with
# its next beat: what is still so after two flushes is no such moment.
AGAIN_SECONDS = 2.5 * FLUSH_SECONDS

Suspect = tuple[str, str]  # a workspace and one of its machines


class Drift:
    """The node's doubt about its own picture. It heals nothing, for beats do; it tells an operator if they did not."""

    def __init__(self, boot: str, hub: Hub, presence: Presence, places: Places) -> None:
        self._boot = boot
        self._hub = hub
        self._presence = presence
        self._places = places
        self.found: Counter[str] = Counter()  # by kind, of those last compared
        self.compared = 0
        self.clock_ahead_seconds = 0.0  # of Redis's, which dates all presence

    @property
    def total(self) -> int:
        """Machines about which there is disagreement."""
        return sum(self.found.values())

    def readings(self) -> Iterator[tuple[str, Callable[[], float]]]:
        """How many there are of each kind, and how to read it."""
        for kind in metrics.DRIFT.values:
            yield kind, lambda kind=kind: float(self.found[kind])  # type: ignore[misc]

    async def run(self) -> None:
        """Compare each minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads nodes, keeps no secret
            try:
                await self.look()
            except RelayError as error:
                structlog.get_logger().info("presence is not compared", why=error.message)

    async def look(self) -> None:
        """Compare once, and those that differ once more a little later; raises `Unavailable`."""
        held = [(agent.workspace, agent.machine) for agent in self._hub.agents.values()]
        sample = random.sample(held, min(SAMPLE, len(held)))
        claimed = [
            each
            for _ in range(PAGES)
            for each in await self._places.page(self._boot)
            if each[1] not in self._hub.agents
        ]
        differing = await self._differing([*sample, *claimed])
        if differing:
            await asyncio.sleep(AGAIN_SECONDS)
            differing = await self._differing(differing)
            for (workspace, machine), kind in differing.items():
                structlog.get_logger().warning("presence drifts", drift=kind, machine=machine, workspace=workspace)
        self.compared = len(sample) + len(claimed)
        self.found = Counter(differing.values())

    async def _differing(self, suspects: Iterable[Suspect]) -> dict[Suspect, str]:
        by_workspace: dict[str, list[str]] = {}
        for workspace, machine in suspects:
            by_workspace.setdefault(workspace, []).append(machine)
        differing: dict[Suspect, str] = {}
        for workspace, machines in by_workspace.items():
            before = time.time()
            readout = await self._presence.read(workspace, machines)
            self.clock_ahead_seconds = _outside(readout.now_ms / 1000, before, time.time())
            for machine in machines:
                kind = self._judge(machine, readout.records.get(machine))
                if kind is not None:
                    differing[workspace, machine] = kind
        return differing

    def _judge(self, machine: str, record: Record | None) -> str | None:
        """How hub and Redis differ about a machine, with what was read a moment ago; None if they do not."""
        agent = self._hub.agents.get(machine)
        if agent is None:
            ours = record is not None and record.connected and record.node == self._boot
            return "ghost" if ours else None
        if record is None or not record.connected:
            return "unknown"
        return "elsewhere" if record.node != self._boot or record.fence != agent.fence else None


def _outside(moment: float, first: float, last: float) -> float:
    """How far a moment is before a span of time, or after it as a negative number; 0 within: Redis answered then."""
    return max(0.0, first - moment) or min(0.0, last - moment)
