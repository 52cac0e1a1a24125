"""Chooses the marks of an axis and writes numbers as short as they can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOG_FROM = 40.0  # greatest over least: beyond it, a linear axis presses all but the peaks onto its floor
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MARKS = 4  # of a linear axis, about
BYTES = ("B", "B/s")
BINARY = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))
DECIMAL = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


@dataclass(frozen=True)
class Axis:
    """From one value to another, as a part of a length; `marks` are those that are written."""

    least: float
    greatest: float
    marks: tuple[float, ...]
    log: bool = False

    def part(self, value: float) -> float:
        """Where a value lies between the two ends: 0 to 1, and no further."""
        if self.log:
            low, high, at = math.log(self.least), math.log(self.greatest), math.log(max(value, self.least))
        else:
            low, high, at = self.least, self.greatest, value
        return min(1.0, max(0.0, (at - low) / (high - low)))


def linear(greatest: float, unit: str = "") -> Axis:
    """From nought to a value that is round in its unit and no less than the greatest."""
    size = next(size for size, _ in _steps(unit) if greatest >= size or size == 1.0)
    rough = (greatest or 1.0) / size / MARKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in STEPS if step * power >= rough * 0.999) * size
    count = math.ceil((greatest or 1.0) / step * 0.999)
    return Axis(0.0, count * step, tuple(number * step for number in range(count + 1)))


def logarithmic(least: float, greatest: float) -> Axis:
    """From one round value to another, with a mark at 1, 2 and 5 of each ten, or at 1 where that would be too many."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(greatest * 1.001))
    rounds = [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]
    begin = max((mark for mark in rounds if mark <= least * 1.001), default=rounds[0])
    end = min((mark for mark in rounds if mark >= greatest * 0.999), default=rounds[-1])
    marks = [mark for mark in rounds if begin <= mark <= end]
    if len(marks) > 7:
        marks = [10.0**power for power in range(low, high + 1) if begin <= 10.0**power <= end]
    return Axis(begin, max(end, begin * 10), tuple(marks), log=True)


def fitting(values: Sequence[float], unit: str = "") -> Axis:
    """Logarithmic where the values differ by more than a linear axis can show, and linear from nought otherwise."""
    above = [value for value in values if value > 0]
    # What took no time at all is drawn at the foot; a count of nought has to be seen to be nought.
    if above and max(above) / min(above) > LOG_FROM and (len(above) == len(values) or unit == "ms"):
        return logarithmic(min(above), max(above))
    return linear(max(values, default=1.0), unit)


def short(value: float, unit: str = "") -> str:
    """A number of at most four digits: '1.5k', '96 MiB', '0.25 ms'."""
    if unit == "ms" and abs(value) >= 1000:
        value, unit = value / 1000, "s"
    size, word = next(step for step in _steps(unit) if abs(value) >= step[0] or step[0] == 1.0)
    text = f"{value / size:.3g}" if abs(value / size) < 1000 else f"{value / size:,.0f}"
    if unit in BYTES:
        return f"{text}{word}{unit[1:]}"
    return f"{text}{word} {unit}" if unit[:1].isalpha() else f"{text}{word}{unit}"


def _steps(unit: str) -> tuple[tuple[float, str], ...]:
    return BINARY if unit in BYTES else DECIMAL


def clock(seconds: float) -> str:
    """A time of the run: '45 s', '2:30' minutes, '1:05:00' hours."""
    if seconds < 100:
        return f"{seconds:g} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def timed(seconds: float) -> Axis:
    """An axis of the run's time, with marks at round seconds, minutes or hours."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if seconds / step <= 6), steps[-1] * math.ceil(seconds / steps[-1] / 6))
    return Axis(0.0, max(seconds, step), tuple(number * step for number in range(int(seconds / step) + 1)))
