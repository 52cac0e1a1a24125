"""Tells the cluster every few seconds what this node carries, for whoever watches all nodes at once."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from typing import NamedTuple

import structlog

from relay import VERSION
from relay.errors import RelayError
from relay.node.hub import Hub
from relay.node.samples import Samples
from relay.node.traffic import Traffic
from relay.rules.timing import LEASE_RENEW_SECONDS
from relay.store import Bus
from relay.store.reports import NodeReport, Reports
from relay.vitals import cpu_seconds, resident_bytes


class Self(NamedTuple):
    """Who reports."""

    boot: str
    started_ms: int


class Watched(NamedTuple):
    """What is reported."""

    hub: Hub
    traffic: Traffic
    samples: Samples
    bus: Bus
    readiness: Callable[[], list[str]]
    drift: Callable[[], int]


class Reporting:
    """A report with each breath of the node; nothing depends on it, so a Redis that does not take it is no trouble."""

    def __init__(self, who: Self, watched: Watched, reports: Reports) -> None:
        self._who = who
        self._watched = watched
        self._reports = reports
        self._at = 0.0  # monotonic seconds of the last report
        self._frames = self._bytes = 0
        self._cpu = cpu_seconds()

    async def run(self) -> None:
        """Report until cancelled."""
        loop = asyncio.get_running_loop()
        self._at = loop.time()
        while True:
            await asyncio.sleep(LEASE_RENEW_SECONDS)
            try:
                await self._reports.tell(self.report(loop.time()))
            except RelayError as error:
                structlog.get_logger().debug("a report is not told", why=error.message)

    def report(self, now: float) -> NodeReport:
        """What is to be told at this moment, in monotonic seconds; rates are since the last time."""
        who, (hub, traffic, samples, bus, readiness, drift) = self._who, self._watched
        seconds = max(now - self._at, 0.001)
        frames, sent, cpu = traffic.frames, traffic.bytes, cpu_seconds()
        memory = resident_bytes()
        report = NodeReport(
            id=who.boot,
            place=f"{platform.node()}:{os.getpid()}",  # behind a balancer all have one URL
            version=VERSION,
            started_ms=who.started_ms,
            cpu=round((cpu - self._cpu) / seconds, 4),
            memory_bytes=int(memory) if memory == memory else 0,  # not a number where the system does not tell
            reasons=tuple(readiness()),
            agents=len(hub.agents),
            browsers=len(hub.browsers),
            attachments=sum(len(browser.attachments) for browser in hub.browsers),
            frames_per_second=round((frames - self._frames) / seconds, 1),
            bytes_per_second=round((sent - self._bytes) / seconds, 1),
            lag_seconds=round(samples.latest_lag_seconds, 4),
            bus_seconds=None if bus.deaf else bus.round_trip_seconds,
            drift=drift(),
        )
        self._at, self._frames, self._bytes, self._cpu = now, frames, sent, cpu
        return report
