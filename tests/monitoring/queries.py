"""Reads which series and labels a Prometheus query names, as far as the queries of this repository go."""

from __future__ import annotations

import re
from typing import NamedTuple

SELECTOR = re.compile(r"\b((?:relay|process)[a-z_:0-9]*|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*')
GROUPING = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")


class Matcher(NamedTuple):
    """One label of a selector."""

    label: str
    operator: str
    value: str

    @property
    def words(self) -> list[str]:
        """The values that it names; none for a pattern that is more than a choice of words."""
        if self.operator in ("=", "!="):
            return [self.value]
        words = self.value.split("|")
        return words if all(re.fullmatch(r"[\w-]+", word) for word in words) else []


class Selector(NamedTuple):
    """One series that a query asks for."""

    series: str
    matchers: list[Matcher]


def selectors(expr: str) -> list[Selector]:
    """Every selector of a query."""
    plain = GROUPING.sub(" ", expr)
    return [Selector(name, [Matcher(*each) for each in MATCHER.findall(inside or "")]) for name, inside in
            SELECTOR.findall(plain)]  # fmt: skip


def groupings(expr: str) -> set[str]:
    """The labels that a query keeps or drops."""
    return {word.strip() for inside in GROUPING.findall(expr) for word in inside.split(",") if word.strip()}
