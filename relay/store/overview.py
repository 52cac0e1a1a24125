"""Joins what leases and reports say into one picture of the cluster, for a terminal or a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from relay.store.keys import Keys
from relay.store.leases import Lease, Leases
from relay.store.memory import Memory, open_memory
from relay.store.reports import NodeReport, Reports, SweeperReport


class NodeLine(NamedTuple):
    """One node: that it lives, and what it says of itself if it does."""

    lease: Lease
    report: NodeReport | None

    @property
    def reasons(self) -> list[str]:
        """Why it takes no newcomers."""
        said = list(self.report.reasons) if self.report is not None else []
        return said or (["draining"] if self.lease.draining else [])


class Overview(NamedTuple):
    """All processes at one moment."""

    nodes: list[NodeLine]
    sweepers: list[SweeperReport]


class Overlook:
    """Somebody who looks at a cluster through its Redis. `look` raises `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._leases = Leases(redis, keys)
        self._reports = Reports(redis, keys)

    async def look(self) -> Overview:
        """What is there now."""
        leases, reports = await self._leases.live(), await self._reports.heard()
        said = {report.id: report for report in reports if isinstance(report, NodeReport)}
        sweepers = [report for report in reports if isinstance(report, SweeperReport)]
        return Overview([NodeLine(lease, said.get(lease.boot)) for lease in leases], sweepers)


@asynccontextmanager
async def open_overlook(redis_url: str, prefix: str) -> AsyncIterator[Overlook]:
    """Somebody who may read the cluster's Redis; raises `Misconfigured`."""
    memory = open_memory(redis_url)
    try:
        yield Overlook(memory, Keys(prefix))
    finally:
        await memory.aclose()
