"""Watches the servers of a run: processor time and memory of each process, and how late their event loops are."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from loadtests.bench import host, usage
from loadtests.engine.target import Target
from loadtests.report.summary import CPU, LAG, RSS, SPEED, Process

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SCRAPE_SECONDS = 2.0  # for one node's metrics
PERCENT = 100.0
QUANTILE = 0.99
MILLISECONDS = 1_000.0
LAG_METRIC = "relay_loop_lag_seconds"
BUCKET = re.compile(rf'^{LAG_METRIC}_bucket{{(?:[^}}]*,)?le="([^"]+)"[^}}]*}} (\S+)', re.MULTILINE)

Buckets = dict[float, float]  # cumulative counts, by upper bound in seconds


class Watch:
    """One look a second, from `began` on. What cannot be seen from here is left out."""

    def __init__(self, target: Target, began: float) -> None:
        self.rows: dict[str, dict[int, float]] = defaultdict(dict)  # by name of the series, by second
        self._target = target
        self._began = began
        self._pids: dict[str, int] = {}
        self._cpu: dict[str, float] = {}  # of the process that runs now, when it was looked at last
        self._spent: dict[str, float] = defaultdict(float)  # of all processes of that name since the beginning
        self._rss: dict[str, int] = defaultdict(int)
        self._last: dict[str, Buckets] = {}
        self._lags: dict[str, Buckets] = defaultdict(lambda: defaultdict(float))  # grown since the beginning

    async def look_often(self) -> None:
        """Look each second until cancelled."""
        self._look(None)
        await self._scrape(None)
        number = 0
        while True:
            await asyncio.sleep(max(0.0, self._began + number + 1 - time.monotonic()))
            self._look(number)
            await self._scrape(number)
            number = max(number + 1, int(time.monotonic() - self._began))

    async def finish(self) -> list[Process]:
        """A last look; what each server took."""
        self._look(None)
        await self._scrape(None)
        names = [*self._spent, *(name for name in self._last if name not in self._spent)]
        return [
            Process(
                name,
                round(self._spent[name], 3) if name in self._spent else None,
                self._rss.get(name),
                self._lag(name),
            )
            for name in names
        ]

    def _look(self, number: int | None) -> None:
        if number is not None:
            self.rows[SPEED][number] = round(host.speed(host.GLANCE), 1)
        for name, pid in self._target.pids().items():
            try:
                used, rss = usage.cpu_seconds([pid]), _rss_bytes(pid)
            except (OSError, ProcessLookupError):
                continue  # it ended just now, and comes back under another number
            # What a process did before the run was for others; one that replaced another is all ours.
            before = self._cpu[name] if self._pids.get(name) == pid else 0.0 if name in self._pids else used
            more = used - before
            self._pids[name], self._cpu[name] = pid, used
            self._spent[name] += more
            self._rss[name] = max(self._rss[name], rss)
            if number is not None:
                self.rows[CPU + name][number] = round(more * PERCENT, 1)
                self.rows[RSS + name][number] = rss

    async def _scrape(self, number: int | None) -> None:
        found = await asyncio.gather(
            *(asyncio.to_thread(_buckets, name, url) for name, url in self._target.metrics.items())
        )
        for name, buckets in found:
            if not buckets:
                continue
            before = self._last.get(name)
            self._last[name] = buckets
            if before is None:
                continue
            grown = _grown(before, buckets)
            for bound, count in grown.items():
                self._lags[name][bound] += count
            lag = _p99(grown)
            if number is not None and lag is not None:
                self.rows[LAG + name][number] = round(lag * MILLISECONDS, 3)

    def _lag(self, name: str) -> float | None:
        lag = _p99(self._lags[name]) if name in self._lags else None
        return None if lag is None else round(lag * MILLISECONDS, 3)


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def _buckets(name: str, url: str) -> tuple[str, Buckets]:
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_SECONDS) as answer:
            text = answer.read().decode()
    except (OSError, ValueError):  # a node that starts again, or one that has no metrics any more
        return name, {}
    return name, {float(bound): float(count) for bound, count in BUCKET.findall(text)}


def _grown(before: Mapping[float, float], after: Mapping[float, float]) -> Buckets:
    """What was counted in between; counters of a process that began anew count from nought."""
    anew = any(count < before.get(bound, 0.0) for bound, count in after.items())
    return {bound: count - (0.0 if anew else before.get(bound, 0.0)) for bound, count in after.items()}


def _p99(buckets: Mapping[float, float]) -> float | None:
    """The bound that 99 of 100 did not exceed; of what exceeded all of them, the last."""
    total = max(buckets.values(), default=0.0)
    finite = sorted(bound for bound in buckets if bound != float("inf"))
    if total <= 0 or not finite:
        return None
    return next((bound for bound in finite if buckets[bound] >= total * QUANTILE), finite[-1])
