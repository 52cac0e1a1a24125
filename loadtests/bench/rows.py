"""Describes the rows of a result: what is measured, in which unit, which goal it has, and what each round saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


class Void(Exception):
    """Why a measurement does not count: something was lost, repeated, changed or refused while it ran."""


@dataclass(frozen=True)
class Row:
    """One figure. `goal` None: shown and not judged. `beside`: another contender, and how many times as good as its
    figure of the same run ours has to be, if it was measured."""

    name: str
    what: str
    unit: str
    goal: float | None
    better: Literal["more", "less"]
    beside: tuple[str, float] | None = None

    def missed(self, value: float) -> bool:
        """Whether this value is on the wrong side of the goal."""
        if self.goal is None:
            return False
        return value < self.goal if self.better == "more" else value > self.goal


@dataclass
class Found:
    """What one contender did in one row, round by round."""

    values: list[float] = field(default_factory=list)
    voids: list[str] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        """The middle of the rounds that count; None without any."""
        return median(self.values) if self.values else None

    def as_data(self) -> dict[str, Any]:
        """For the result file."""
        if not self.values:
            return {"rounds": [], "void": self.voids}
        found = {"median": self.median, "min": min(self.values), "max": max(self.values), "rounds": self.values}
        return {**found, "void": self.voids} if self.voids else found


class Findings:
    """What all contenders did in all rows, in the order in which rows were first met."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.found: dict[str, dict[str, Found]] = {}

    def add(self, row: Row, contender: str, value: float) -> None:
        """One round of one row."""
        self._of(row, contender).values.append(value)

    def void(self, row: Row, contender: str, why: str) -> None:
        """A round that does not count."""
        self._of(row, contender).voids.append(why)

    def _of(self, row: Row, contender: str) -> Found:
        self.rows[row.name] = row
        return self.found.setdefault(row.name, {}).setdefault(contender, Found())

    def missed(self, contender: str) -> list[str]:
        """Each goal that this contender's median missed, as a sentence."""
        lines = []
        for name, row in self.rows.items():
            value = self.found[name].get(contender, Found()).median
            if value is None:
                continue
            if row.missed(value):
                sign = "at least" if row.better == "more" else "at most"
                lines.append(f"{name}: {value:,.6g} {row.unit}, goal {sign} {row.goal:,.6g}")
            if row.beside is not None:
                other, least = row.beside
                theirs = self.found[name].get(other, Found()).median
                if theirs is not None and value < least * theirs:
                    lines.append(f"{name}: {value / theirs:.2f} times {other}, goal at least {least:g} times")
        return lines

    def voids(self) -> list[str]:
        """Each round that does not count, as a sentence."""
        return [
            f"{name} ({contender}): {why}"
            for name, by_contender in self.found.items()
            for contender, found in by_contender.items()
            for why in found.voids
        ]
