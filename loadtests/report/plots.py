"""Draws lines over time and percentile curves as SVG that stands in the page itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

from loadtests.report.axis import Axis, clock, fitting, logarithmic, short, timed
from loadtests.report.summary import Phase, Series

# In units of the picture, which a browser scales: as wide as half a page, so that its letters can be read on a phone.
WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 20, 24
COLOURS = 8  # of the palette in page.css; further lines begin again, dashed
POINTS = 240  # of one line: more than this are closer together than their own width
QUICKEST = 0.1  # of all, which the percentile curve leaves out
LETTER = 5.6  # about as wide as a letter of the marks

Line = Sequence[float | None]


@dataclass(frozen=True)
class Plot:
    """One picture: what it shows, in which unit, its lines by name, and whether points that are joined into one show
    the greatest of them (a peak must not vanish) or their mean."""

    title: str
    unit: str
    lines: Mapping[str, Line]
    peaks: bool = True


def over_time(plot: Plot, key: str, series: Series, phases: Sequence[Phase]) -> str:
    """The picture of rows of a series; `key` makes the names inside it the page's only ones."""
    lines = {name: joined(line, plot.peaks) for name, line in plot.lines.items()}
    length = max((len(line) for line in plot.lines.values()), default=0)
    span = max(length * series.interval_seconds, series.interval_seconds)
    across = timed(span)
    up = fitting([value for line in lines.values() for value in line if value is not None], plot.unit)
    parts = [*_bands(phases, across), *_grid(up, across, plot.unit)]
    for number, line in enumerate(lines.values()):
        step = span / len(line) if line else 0.0
        points = [
            None if value is None else (across.part((index + 0.5) * step), up.part(value))
            for index, value in enumerate(line)
        ]
        parts += _line(points, number)
    return _svg(plot.title, _spoken(plot), key, parts)


def percentiles(curves: Mapping[str, Sequence[tuple[float, int]]], key: str, title: str) -> str:
    """The picture of latencies by percentile; across, each mark leaves out a tenth of what the one before left."""
    greatest = max((sum(count for _, count in pairs) for pairs in curves.values()), default=1)
    marks = [0.0, 90.0, 99.0, 99.9, 99.99, 99.999]
    across = [mark for mark in marks if mark == 0 or (1 - mark / 100) * greatest >= 1] or [0.0]
    # A decade more than the last mark, where the greatest of all lies.
    end = len(across)
    drawn = [_curve(pairs, end) for pairs in curves.values()]
    values = [upto for points in drawn for _, upto in points if upto > 0]
    up = logarithmic(min(values), max(values)) if values else logarithmic(1, 10)
    parts = _grid(up, None, "ms")
    for index, mark in enumerate(across):
        parts.append(_mark_across(index / end, f"{mark:g}%" if mark else "0%"))
    parts.append(_mark_across(1.0, "max", anchor="end"))
    for number, points in enumerate(drawn):
        parts += _line([(at / end, up.part(value)) for at, value in points], number)
    return _svg(title, f"{title}: {', '.join(curves)}, in ms, by percentile", key, parts)


def joined(line: Line, peaks: bool) -> list[float | None]:
    """At most POINTS of a line, each of as many as it takes."""
    size = -(-len(line) // POINTS) or 1
    found: list[float | None] = []
    for begin in range(0, len(line), size):
        seen = [value for value in line[begin : begin + size] if value is not None]
        found.append(None if not seen else max(seen) if peaks else sum(seen) / len(seen))
    return found


def legend(names: Sequence[str]) -> str:
    """The names of the lines with their colours, as text of the page, which wraps."""
    items = (f'<li><span class="key s{_slot(number)}"></span>{escape(name)}</li>' for number, name in enumerate(names))
    return f'<ul class="legend">{"".join(items)}</ul>'


def _curve(pairs: Sequence[tuple[float, int]], end: int) -> list[tuple[float, float]]:
    """(how many tenths are left out, ms) for each bucket but those of the quickest tenth, who stretch the axis."""
    total, seen = sum(count for _, count in pairs), 0
    points = []
    for upto, count in pairs:
        left = 1 - seen / total
        seen += count
        if seen >= total * QUICKEST:
            points.append((_tenths(left, end), upto))
    if points:
        points.append((float(end), pairs[-1][0]))
    return points


def _tenths(left: float, end: int) -> float:
    """How far along a part that is left over lies, where 10 % are one mark from all, 1 % two."""
    return min(float(end), -log10(left)) if left > 0 else float(end)


def _bands(phases: Sequence[Phase], across: Axis) -> list[str]:
    parts = []
    for number, phase in enumerate(phases):
        begin, end = _x(across.part(phase.begin)), _x(across.part(phase.end))
        if end <= begin:
            continue
        told = f"{phase.name}: {clock(round(phase.begin, 1))} to {clock(round(phase.end, 1))}"
        parts.append(
            f'<rect class="band b{number % 2}" x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(told)}</title></rect>'
        )
        if len(phase.name) * LETTER + 4 < end - begin:
            middle = (begin + end) / 2
            parts.append(
                f'<text class="phase" x="{middle:.1f}" y="{TOP - 6}" text-anchor="middle">{escape(phase.name)}</text>'
            )
    return parts


def _grid(up: Axis, across: Axis | None, unit: str) -> list[str]:
    parts = []
    for mark in up.marks:
        y = _y(up.part(mark))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{escape(short(mark, unit))}</text>')
    for mark in across.marks if across is not None else ():
        parts.append(_mark_across(across.part(mark) if across is not None else 0.0, clock(mark)))
    return parts


def _mark_across(part: float, text: str, anchor: str = "middle") -> str:
    at = _x(part)
    anchor = "end" if part > 0.97 else anchor
    tick = f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}"/>'
    return f'{tick}<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float] | None], number: int) -> list[str]:
    """One path, which stops where nothing was seen; a point between two such is a dot."""
    path, dots = [], []
    for index, point in enumerate(points):
        if point is None:
            continue
        x, y = _x(point[0]), _y(point[1])
        starts = index == 0 or points[index - 1] is None
        alone = starts and (index + 1 == len(points) or points[index + 1] is None)
        if alone:
            dots.append(f'<circle class="dot s{_slot(number)}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
        path.append(f"{'M' if starts else 'L'}{x:.1f} {y:.1f}")
    drawn = f'<path class="line s{_slot(number)}" d="{"".join(path)}"/>' if path else ""
    return [drawn, *dots]


def _slot(number: int) -> str:
    """The class of a line: its colour, and dashes from the second round on."""
    return f"{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


def _svg(title: str, described: str, key: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(described)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _spoken(plot: Plot) -> str:
    """What someone hears who does not see the picture; the table below it has the values."""
    told = []
    for name, line in plot.lines.items():
        seen = [value for value in line if value is not None]
        if seen:
            told.append(f"{name}: least {short(min(seen), plot.unit)}, greatest {short(max(seen), plot.unit)}")
    return "; ".join(told) or "nothing was seen"


def _x(part: float) -> float:
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def _y(part: float) -> float:
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
