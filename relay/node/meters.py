"""Counts what an operator asks about a node: its sockets, why they closed, which limits were met, what was missed."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

Reading = Callable[[], float]


class Meters:
    """The node's counters. Labels are roles, close codes and names of limits: few, known, and never an id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._found: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self._opened = Counter("relay_sockets_opened", "Sockets accepted", ["role"], registry=registry)
        self._closed = Counter("relay_sockets_closed", "Sockets closed", ["role", "code"], registry=registry)
        self._limits = Counter("relay_limits_reached", "Times a named limit was met", ["limit"], registry=registry)
        self._gaps = Counter("relay_lane_gaps", "Times frames from another node may be lost", registry=registry)
        self._unsent = Counter("relay_lane_batches_dropped", "Batches the bus did not take", registry=registry)
        self._lost = Counter("relay_beats_lost", "Beats that Redis did not take", ["reason"], registry=registry)
        self._beats = Counter("relay_beats", "Beats told to Redis", registry=registry)

    def _labelled(self, counter: Counter, *labels: str) -> Counter:
        """The counter with these labels, looked up once: each time it is locked for them and checked against them."""
        found = self._found.get((counter, labels))
        if found is None:
            found = self._found[counter, labels] = counter.labels(*labels)
        return found

    def opened(self, role: str) -> None:
        """A socket was accepted."""
        self._labelled(self._opened, role).inc()

    def closed(self, role: str, code: int) -> None:
        """A socket ended, by us or by its peer; codes that are nobody's business count as 0."""
        known = code if 1000 <= code <= 1015 or 4000 <= code <= 4299 else 0
        self._labelled(self._closed, role, str(known)).inc()

    def limited(self, limit: str) -> None:
        """A limit of `rules/limits.py` or of the settings was met, and somebody paid for it."""
        self._limits.labels(limit).inc()

    def gap(self) -> None:
        """A lane broke."""
        self._gaps.inc()

    def unsent(self) -> None:
        """A batch for another node was dropped here."""
        self._unsent.inc()

    def beat(self, count: int) -> None:
        """So many beats were told."""
        self._beats.inc(count)

    def lost(self, reason: str) -> None:
        """A beat was answered with a reason why it is not true."""
        self._lost.labels(reason).inc()

    def watch(self, name: str, meaning: str, reading: Reading) -> None:
        """Show what `reading` returns whenever somebody asks."""
        Gauge(name, meaning, registry=self._registry).set_function(reading)
