"""Describes one metric as plain data: its name, kind and unit, what its labels may say, which question it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["node", "sweeper"]

OTHER = "other"  # for what a label has no word for: peers may say anything, and no series is made of it


class Question(StrEnum):
    """What an operator asks; a dashboard has one row for each."""

    WHO = "Who is connected, and where?"
    TRAFFIC = "What flows through the nodes?"
    WELCOME = "Does everybody get in?"
    FAREWELL = "Who is cut off, and why?"
    LOSS = "Is anything lost, late or waiting?"
    STORES = "Do Redis and the registry answer?"
    TRUTH = "Is it true what is shown of machines?"
    CHANGE = "Is a drain or a move under way?"
    HEALTH = "Is each process well?"


class Label(NamedTuple):
    """One label and its closed set; an empty set is one that another list closes, which `of` names."""

    name: str
    values: tuple[str, ...] = ()
    of: str = ""

    def word(self, value: str) -> str:
        """The value, or `other` where the set is closed here and does not have it."""
        return value if not self.values or value in self.values else OTHER


class Metric(NamedTuple):
    """One metric. Counters and histograms grow for as long as their process lives; gauges say what is now."""

    name: str  # as in the code; Prometheus sees counters with `_total` behind it
    kind: Kind
    unit: str
    help: str
    question: Question
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()  # upper ones, of a histogram
    processes: tuple[Process, ...] = ("node",)

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
        return tuple(self.name + ending for ending in endings[self.kind])

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels; a histogram's `le` aside."""
        return tuple(label.name for label in self.labels)

    def combinations(self) -> list[tuple[str, ...]]:
        """Every set of label values that can be known beforehand; none where a label's values are not."""
        found: list[tuple[str, ...]] = [()]
        for label in self.labels:
            found = [(*values, value) for values in found for value in label.values]
        return found
