"""Prints what was found: a table for people, a file for programs, and Markdown for the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.bench.rows import Findings, Row

OURS = "relay"
TABLE_ROW = "| {} |"


def as_data(findings: Findings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The result file: what was run where, then each row with every contender's rounds."""
    rows = [
        {
            "name": row.name,
            "what": row.what,
            "unit": row.unit,
            "goal": row.goal,
            "better": row.better,
            "beside": row.beside,
            "found": {contender: found.as_data() for contender, found in findings.found[row.name].items()},
        }
        for row in findings.rows.values()
    ]
    return {**about, "rows": rows, "missed": findings.missed(OURS), "void": findings.voids()}


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write the result file."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def lines(data: Mapping[str, Any]) -> list[str]:
    """The result for people: one line per row and contender, with the ratio to ours."""
    shown = []
    for row in data["rows"]:
        goal = _goal(row)
        shown.append(f"{row['name']}: {row['what']}, {row['unit']}{f' (goal {goal})' if goal else ''}")
        ours = row["found"].get(OURS, {}).get("median")
        for contender, found in row["found"].items():
            shown.append(f"    {contender:<12} {_spread(found)}{_beside(row, contender, ours, found)}")
    return shown


def table(data: Mapping[str, Any]) -> str:
    """The result as a Markdown table: the median and, small beside it, the least and the greatest round."""
    contenders = list(dict.fromkeys(name for row in data["rows"] for name in row["found"]))
    head = ["what", "unit", "goal", *contenders]
    rows = [
        [row["what"], row["unit"], _goal(row) or "–", *(_cell(row["found"].get(name)) for name in contenders)]
        for row in data["rows"]
    ]
    cells = [head, ["---"] * len(head), *rows]
    host, options = data["host"], data["options"]
    below = (
        f"Medians of {options['rounds']} interleaved rounds of {options['seconds']:g} s (least–greatest), "
        f"{host['cpu']}, servers on one core, Linux {host['kernel']}. "
        + ". ".join(f"{name}: {_versions(found)}" for name, found in data["versions"].items())
        + "."
    )
    return "\n".join([*(TABLE_ROW.format(" | ".join(row)) for row in cells), "", below])


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.2f}M"
    if abs(value) >= 10_000:
        return f"{value / 1_000:.0f}k"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def progress(row: Row, contender: str, value: float) -> str:
    """One line while it runs."""
    return f"  {row.name:<28} {contender:<12} {number(value):>8} {row.unit}"


def _goal(row: Mapping[str, Any]) -> str:
    if row["goal"] is None:
        return ""
    return f"{'≥' if row['better'] == 'more' else '≤'} {number(row['goal'])}"


def _spread(found: Mapping[str, Any]) -> str:
    if "median" not in found:
        return f"void: {found['void'][0]}" if found["void"] else "not measured"
    return f"{number(found['median']):>8} ({number(found['min'])}–{number(found['max'])})"


def _cell(found: Mapping[str, Any] | None) -> str:
    return "not measured" if found is None else _spread(found).strip()


def _beside(row: Mapping[str, Any], contender: str, ours: float | None, found: Mapping[str, Any]) -> str:
    theirs = found.get("median")
    if contender == OURS or not ours or not theirs:
        return ""
    return f"   relay: {ours / theirs if row['better'] == 'more' else theirs / ours:.2f} times as good"


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in found.items())
