"""Prints what commands found: aligned columns for people, versioned JSON for programs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from relay.rules.quoting import escape

SCHEMA = 1  # of everything that --json prints; raised when a field changes its meaning
NOTHING = "—"
_GAP = "  "
_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one is not padded, so that lines end where their text ends."""
    lines = [tuple(columns), *(tuple(escape(cell) for cell in row) for row in rows)]
    widths = [max(width(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = [cell + " " * (widths[index] - width(cell)) for index, cell in enumerate(line[:-1])]
        click.echo(_GAP.join([*cells, line[-1]]))


def print_json(**fields: Any) -> None:
    """One JSON object with its schema number; never coloured and never mixed with anything else."""
    text = json.dumps({"schema": SCHEMA, **fields}, ensure_ascii=False, indent=2)
    # JSON itself escapes only the oldest control characters; others steer a terminal just as well.
    click.echo(_BEYOND_ASCII.sub(_marked, text))


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def age(seconds: float | None) -> str:
    """A time span in its two largest units, such as 4s, 4m12s, 3h05m or 12d4h."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """The span between two ISO 8601 times, or None if one of them is missing."""
    if not earlier or not later:
        return None
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _marked(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
