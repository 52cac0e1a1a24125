"""Writes tables of HTML: with a caption, heads that say what they are heads of, and room to scroll on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from loadtests.report.axis import clock, short
from loadtests.report.plots import Plot
from loadtests.report.summary import Series

Row = Sequence["Cell | str"]

ROWS = 120  # of the table behind a plot: a person who wants more opens summary.json
DEEP = 3  # levels of what only one scenario measures


@dataclass(frozen=True)
class Cell:
    """Ready-made HTML for one cell, and the class of its style."""

    html: str
    style: str = ""


def number(value: float | None, digits: int = 4) -> Cell:
    """A figure, to the right; a dash where nothing was measured."""
    if value is None:
        return Cell("–", "number")
    whole = isinstance(value, int) or abs(value) >= 10 ** (digits - 1)
    return Cell(f"{value:,.0f}" if whole else f"{value:,.{digits}g}", "number")


def table(caption: str, heads: Sequence[str], rows: Sequence[Row]) -> str:
    """A table whose first column names the row; figures stand under heads to the right."""
    figures = [
        bool(rows) and isinstance(cell, Cell) and cell.style == "number" for cell in (rows[0] if rows else heads)
    ]
    head = "".join(
        f'<th scope="col"{_class("number" if figure else "")}>{escape(text)}</th>'
        for text, figure in zip(heads, figures, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(cell, first=not index) for index, cell in enumerate(row))}</tr>" for row in rows
    )
    return (  # the caption stands above, where it does not scroll away sideways on a phone
        f'<div class="table"><p class="caption">{escape(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table aria-label="{escape(caption)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>'
    )


def behind(plot: Plot, series: Series) -> str:
    """The values of a plot, to be unfolded."""
    length = max((len(line) for line in plot.lines.values()), default=0)
    size = -(-length // ROWS) or 1
    step = series.interval_seconds * size
    lines = [_thinned(line, size, plot.peaks) for line in plot.lines.values()]
    rows: list[Row] = [
        [clock(round(index * step, 3)), *(_value(line, index, plot.unit) for line in lines)]
        for index in range(-(-length // size))
    ]
    if not rows:
        return ""
    caption = f"{plot.title}, every {clock(step)}" + (_of_each(plot) if size > 1 else "")
    return f"<details><summary>Values</summary>{table(caption, ['from', *plot.lines], rows)}</details>"


def pairs(caption: str, values: Mapping[str, Any]) -> str:
    """Names and values of whatever a scenario reports, a few levels deep."""
    return table(caption, ["name", "value"], [[name, Cell(text)] for name, text in _flat(values, DEEP)])


def _flat(values: Mapping[str, Any], deep: int, before: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value and deep > 1:
            found += _flat(value, deep - 1, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", _written(value)))
    return found


def _written(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_written(one) for one in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(name))}: {_written(one)}" for name, one in value.items()) or "none"
    return escape(str(value))


def _value(line: Sequence[float | None], index: int, unit: str) -> Cell:
    value = line[index] if index < len(line) else None
    return Cell("–" if value is None else escape(short(value, unit)), "number")


def _thinned(line: Sequence[float | None], size: int, peaks: bool) -> list[float | None]:
    parts = [line[begin : begin + size] for begin in range(0, len(line), size)]
    seen = [[value for value in part if value is not None] for part in parts]
    return [None if not part else max(part) if peaks else sum(part) / len(part) for part in seen]


def _of_each(plot: Plot) -> str:
    return ", the greatest of each" if plot.peaks else ", the mean of each"


def _cell(cell: Cell | str, *, first: bool) -> str:
    made = Cell(escape(cell)) if isinstance(cell, str) else cell
    name = 'th scope="row"' if first else "td"
    return f"<{name}{_class(made.style)}>{made.html}</{name.split()[0]}>"


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""
