"""Reads what a node counts, from its metrics port and from the system."""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path

from tests.support.cluster import Cluster

WAIT_SECONDS = 15.0
LOOK_SECONDS = 0.03  # a node tells nobody that a counter moved
KIB = 1024


class Metrics:
    """One node's counters, and how far they moved since this object was made."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._url = cluster.metrics[url]
        self._status = Path(f"/proc/{cluster.node_at(url).process.pid}/status")
        self._before = self._read()

    def moved(self, name: str, **labels: str) -> float:
        """How much a counter grew since the beginning."""
        line = _line(name, labels)
        return self._read().get(line, 0.0) - self._before.get(line, 0.0)

    def gauge(self, name: str) -> float:
        """What a gauge says now."""
        return self._read()[name]

    def reaches(self, count: float, name: str, **labels: str) -> None:
        """Wait until a counter has grown by exactly so much."""
        give_up = time.monotonic() + WAIT_SECONDS
        while (moved := self.moved(name, **labels)) != count:
            assert time.monotonic() < give_up, f"{name} {labels} grew by {moved}, not by {count}"
            time.sleep(LOOK_SECONDS)

    def resident_bytes(self) -> int:
        """The memory that the node holds now; Linux only."""
        found = re.search(r"VmRSS:\s+(\d+) kB", self._status.read_text())
        assert found is not None
        return int(found[1]) * KIB

    def _read(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=WAIT_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _space, value in rows}


def _line(name: str, labels: dict[str, str]) -> str:
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}_total{{{inner}}}" if inner else f"{name}_total"
