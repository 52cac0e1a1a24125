"""Tells the cluster every few seconds how a sweeper's rounds go, for whoever watches all processes at once."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from uuid import uuid4

import structlog

from relay import VERSION
from relay.errors import RelayError
from relay.rules.timing import LEASE_RENEW_SECONDS
from relay.store.reports import Reports, SweeperReport
from relay.vitals import cpu_seconds, resident_bytes
from workers.meters import SweepMeters


class Reporting:
    """The sweeper's voice beside those of the nodes; nothing depends on it."""

    def __init__(self, meters: SweepMeters, reports: Reports) -> None:
        self.id = str(uuid4())
        self._meters = meters
        self._reports = reports
        self._started_ms = time.time_ns() // 1_000_000
        self._at = time.monotonic()
        self._cpu = cpu_seconds()
        self._machines = 0
        self.rhythm: int | None = None  # revision of the times that this sweeper keeps

    async def run(self) -> None:
        """Report until cancelled, the first time at once."""
        while True:
            try:
                await self._reports.tell(self.report(time.monotonic()))
            except RelayError as error:
                structlog.get_logger().debug("a report is not told", why=error.message)
            await asyncio.sleep(LEASE_RENEW_SECONDS)

    def report(self, now: float) -> SweeperReport:
        """What is to be told at this moment, in monotonic seconds; rates are since the last time."""
        meters, seconds = self._meters, max(now - self._at, 0.001)
        cpu, machines, memory = cpu_seconds(), meters.machines, resident_bytes()
        report = SweeperReport(
            id=self.id,
            place=f"{platform.node()}:{os.getpid()}",
            version=VERSION,
            started_ms=self._started_ms,
            cpu=round((cpu - self._cpu) / seconds, 4),
            memory_bytes=int(memory) if memory == memory else 0,  # not a number where the system does not tell
            age_seconds=round(meters.age_seconds, 2),
            behind=meters.behind,
            told_per_second=round((machines - self._machines) / seconds, 2),
            rhythm=self.rhythm,
        )
        self._at, self._cpu, self._machines = now, cpu, machines
        return report
