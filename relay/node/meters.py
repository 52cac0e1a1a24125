"""Counts what an operator asks about a node: its sockets, why they closed, which limits were met, what was missed."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from relay.instruments import Instruments, Reading
from relay.rules import metrics
from relay.rules.metric import Metric
from relay.rules.tally import Tally

# What REST counts is counted apart, in web/measures.py.
OF_REST = frozenset({metrics.REST_ANSWERS, metrics.REST})
UNKNOWN_CODE = "0"


class Meters:
    """The node's counters. Labels are roles, close codes and names of limits: few, known, and never an id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        listed = (metric for metric in metrics.exported_by("node") if metric not in OF_REST)
        self.instruments = instruments = Instruments(registry, listed)
        self._opened = instruments.counts(metrics.OPENED)
        self._closed = instruments.counts(metrics.CLOSED)
        self._refused = instruments.counts(metrics.REFUSED)
        self._limits = instruments.counts(metrics.LIMITS)
        self._gaps = instruments.counts(metrics.GAPS)
        self._unsent = instruments.counts(metrics.UNSENT)
        self._lost = instruments.counts(metrics.BEATS_LOST)
        self._beats = instruments.counts(metrics.BEATS)

    def opened(self, role: str) -> None:
        """A socket was accepted."""
        self._opened[(role,)] += 1

    def closed(self, role: str, code: int) -> None:
        """A socket ended, by us or by its peer; codes that are nobody's business count as 0."""
        known = str(code)
        self._closed[role, known if known in metrics.CODES else UNKNOWN_CODE] += 1

    def refused(self, role: str, why: str) -> None:
        """A peer was turned away at the door, or at its hello."""
        self._refused[role, metrics.WHY.word(why)] += 1

    def limited(self, limit: str) -> None:
        """A limit of `rules/limits.py` or of the settings was met, and somebody paid for it."""
        self._limits[(metrics.LIMIT.word(limit),)] += 1

    def gap(self) -> None:
        """A lane broke."""
        self._gaps[()] += 1

    def unsent(self) -> None:
        """A batch for another node was dropped here."""
        self._unsent[()] += 1

    def beat(self, count: int) -> None:
        """So many beats were told."""
        self._beats[()] += count

    def lost(self, reason: str) -> None:
        """A beat was answered with a reason why it is not true."""
        self._lost[(reason,)] += 1

    def watch(self, metric: Metric, reading: Reading, *values: str) -> None:
        """Show what `reading` returns whenever somebody asks."""
        self.instruments.watch(metric, reading, *values)

    def watch_all(self, metric: Metric, readings: Iterable[tuple[str, Reading]]) -> None:
        """The same for each value of a metric's only label."""
        for value, reading in readings:
            self.instruments.watch(metric, reading, value)

    def tally(self, metric: Metric, *values: str, shown: Tally | None = None) -> Tally:
        """The tally of a histogram: one that somebody keeps, or a new one to add to."""
        return self.instruments.tally(metric, *values, shown=shown)
