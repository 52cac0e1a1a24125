"""Reads thresholds such as `delivery.p99 < 250ms` before any load is made, and judges a run by them.

    NAME.STAT OP NUMBER[UNIT]

    delivery.p99 < 250ms        totals.lost == 0            servers.rss_max < 500MiB
    connect.max <= 2s           rates.frames >= 4900/s      servers.node-1.cpu_max < 90%
    attach.count > 100          closes.browser.1006 == 0    servers.rss_slope < 5MiB/h

In a file they stand one a line; what follows a # is a comment.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.report.measures import UNITS, Kind, Measure, Unknown, measure
from loadtests.report.summary import Judged, Summary

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
GRAMMAR = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*)\s*(?P<operator><=|>=|==|!=|<|>)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-zµ%/]*)"
)
EXPECTED = "expected NAME.STAT OP NUMBER[UNIT], as in 'delivery.p99 < 250ms'"
LINES = 1000  # of a file: more is not a file of thresholds


class Refused(Exception):
    """Why a threshold cannot be judged, with the line and what was expected."""


@dataclass(frozen=True)
class Threshold:
    """One line: what is judged, and by which limit in the base unit of its kind."""

    text: str
    measure: Measure
    operator: str
    limit: float
    unit: str

    def judge(self, summary: Summary) -> Judged:
        """Whether the run held it; one that did not measure it did not."""
        value = self.measure.read(summary)
        held = value is not None and OPERATORS[self.operator](value, self.limit)
        return Judged(self.text, None if value is None else float(f"{value:.6g}"), held)

    def shown(self, value: float | None) -> str:
        """A value in the unit that the threshold was written in."""
        if value is None:
            return "not measured"
        unit = self.unit or next(iter(UNITS[self.measure.kind]))
        amount = value / UNITS[self.measure.kind][unit]
        number = f"{amount:,.0f}" if amount == int(amount) or abs(amount) >= 1000 else f"{amount:.4g}"
        return f"{number} {unit}" if unit[:1].isalpha() else f"{number}{unit}"


def threshold(text: str, latencies: Collection[str], servers: Collection[str] = ()) -> Threshold:
    """Read one; raises Refused. `latencies` and `servers` are the names that the run is going to have."""
    line = " ".join(text.split())
    found = GRAMMAR.fullmatch(line)
    if found is None:
        raise Refused(f"{line!r}: {EXPECTED}")
    try:
        judged = measure(found["name"], latencies, servers)
    except Unknown as error:
        raise Refused(f"{line!r}: {error}") from error
    limit = _limit(line, float(found["number"]), found["unit"], judged.kind)
    return Threshold(line, judged, found["operator"], limit, found["unit"])


def lines_of(path: Path) -> list[tuple[str, str]]:
    """The lines of a file that say something, each with its place; raises Refused if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: {error.strerror if isinstance(error, OSError) else 'not a text'}") from error
    if len(lines) > LINES:
        raise Refused(f"{path}: {len(lines)} lines, at most {LINES}")
    found = [(f"{path}:{number}: ", line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [(place, line) for place, line in found if line]


def thresholds(
    flags: Iterable[str], files: Iterable[Path], latencies: Collection[str], servers: Collection[str] = ()
) -> list[Threshold]:
    """All that a run is judged by; raises Refused with every line that is wrong, not only the first."""
    given = [("", text) for text in flags]
    for path in files:
        given += lines_of(path)
    read, wrong = [], []
    for place, text in given:
        try:
            read.append(threshold(text, latencies, servers))
        except Refused as error:
            wrong.append(f"{place}{error}")
    if wrong:
        raise Refused("\n".join(wrong))
    return read


def judge(read: Sequence[Threshold], summary: Summary) -> list[Judged]:
    """All of them, in the order in which they were given."""
    return [one.judge(summary) for one in read]


def _limit(line: str, number: float, unit: str, kind: Kind) -> float:
    units = UNITS[kind]
    if unit in units:
        return number * units[unit]
    if number == 0 and not unit:
        return 0.0
    if kind == "count":
        raise Refused(f"{line!r}: expected a number without a unit")
    raise Refused(f"{line!r}: expected a number with one of {', '.join(units)}")
