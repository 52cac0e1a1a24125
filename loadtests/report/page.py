"""Writes the report: one file of HTML without scripts, which says first whether the run held and then why."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

from loadtests.report import verdict
from loadtests.report.axis import short
from loadtests.report.plots import Plot, legend, over_time, percentiles
from loadtests.report.summary import (
    BYTES,
    CLOSES,
    CONNECTIONS,
    CPU,
    ERRORS,
    FRAMES,
    LAG,
    P50,
    P99,
    RSS,
    Process,
    Summary,
)
from loadtests.report.tables import Cell, Row, behind, number, pairs, table
from relay.errors import Close

STYLE = Path(__file__).with_name("page.css")
# What a browser says of a connection that ended without a word, and of one whose close frame had no code.
UNSPOKEN = {"1005": "without a code", "1006": "without a goodbye", "1012": "service restarts"}
WORDS = {"held": "✓ held", "exceeded": "✗ exceeded"}
FIRST = ("delivery", "echo", "attach")  # what people feel stands above what machines do
ALONE = {
    CONNECTIONS: ("Connections", "", False),
    FRAMES: ("Frames a second", "/s", False),
    BYTES: ("Bytes a second", "B/s", False),
    ERRORS: ("Errors a second", "/s", True),
}
TOGETHER = {
    CPU: ("Processor by process", "%"),
    RSS: ("Resident memory by process", "B"),
    LAG: ("Delay of event loops", "ms"),
    CLOSES: ("Connections closed a second", "/s"),
}


def page(summary: Summary) -> str:
    """The whole page; it asks nobody for anything when it is opened."""
    parts = [_head(summary), _verdict(summary), _figures(summary), _thresholds(summary), _latencies(summary)]
    parts += [_over_time(summary), _processes(summary), _closes(summary), _about(summary)]
    title = escape(f"{summary.scenario}: {summary.verdict}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(summary: Summary) -> str:
    where = "a cluster of its own" if summary.target.own else ", ".join(summary.target.urls)
    told = f"{summary.started}, {summary.seconds:,.1f} s against {where}, seed {summary.seed}"
    return f'<h1>Load test “{escape(summary.scenario)}”</h1><p class="soft">{escape(told)}</p>'


def _verdict(summary: Summary) -> str:
    broken = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict.broken(summary))
    notes = "".join(f"<p>{escape(note)}</p>" for note in summary.notes)
    told = escape(verdict.headline(summary)) + (f"<ul>{broken}</ul>" if broken else "")
    return f'<div class="verdict {summary.verdict}" role="status">{told}</div>{notes}'


def _figures(summary: Summary) -> str:
    totals = summary.totals
    rate = totals.frames / summary.seconds if summary.seconds else 0.0
    wrong = f"{totals.duplicated:,} repeated, {totals.reordered:,} out of order"
    figures = [
        ("Frames", short(totals.frames), f"{short(rate, '/s')}, {short(totals.bytes, 'B')}"),
        ("Lost", f"{totals.lost:,}", wrong),
        ("Connects", f"{totals.connects:,}", f"{totals.refused:,} refused"),
        ("Errors", f"{totals.errors:,}", f"{totals.gaps:,} gaps, said openly"),
    ]
    told = sorted(summary.latencies.items(), key=lambda item: FIRST.index(item[0]) if item[0] in FIRST else len(FIRST))
    for name, latency in told[:2]:
        if latency.p99 is not None and latency.p50 is not None:
            figures.append((f"{name}, 99 of 100", short(latency.p99, "ms"), f"half within {short(latency.p50, 'ms')}"))
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in figures
    )
    return f'<dl class="figures">{shown}</dl>'


def _thresholds(summary: Summary) -> str:
    if not summary.thresholds:
        return ""
    judged = sorted(summary.thresholds, key=lambda one: one.held)  # what did not hold comes first
    rows: list[Row] = []
    for one in judged:
        word = "held" if one.held else "exceeded"
        rows.append(
            [Cell(WORDS[word], f"mark {word}"), Cell(f"<code>{escape(one.text)}</code>"), verdict.seen(summary, one)]
        )
    held = sum(one.held for one in judged)
    return f"<h2>Thresholds</h2>{table(f'{held} of {len(judged)} held', ['verdict', 'threshold', 'measured'], rows)}"


def _latencies(summary: Summary) -> str:
    seen = {name: latency for name, latency in summary.latencies.items() if latency.count}
    if not seen:
        return ""
    rows: list[Row] = [
        [
            name,
            *(number(value, 3) for value in (one.p50, one.p90, one.p99, one.p99_9, one.max)),
            number(one.count),
            Cell("when it was due" if one.corrected else "when it was sent", "words"),
        ]
        for name, one in summary.latencies.items()
    ]
    heads = ["ms", "p50", "p90", "p99", "p99.9", "max", "count", "counted from"]
    curves = {name: one.histogram for name, one in seen.items() if one.histogram}
    drawn = ""
    if curves:
        drawn = (
            f'<div class="plots"><figure><h3>Latency by percentile</h3>{legend(list(curves))}'
            f"{percentiles(curves, 'percentiles', 'Latency by percentile')}"
            "<figcaption>Both axes are logarithmic: a step to the right leaves a tenth of the one before.</figcaption>"
            f"</figure>{_latency_over_time(summary, list(curves))}</div>"
        )
    return f"<h2>Latency</h2>{table('Milliseconds within which so many were done', heads, rows)}{drawn}"


def _latency_over_time(summary: Summary, names: Sequence[str]) -> str:
    """In the order, and so in the colours, of the picture beside it."""
    drawn = []
    for prefix, title in ((P99, "99 of 100 within, over time"), (P50, "Half within, over time")):
        lines = {name: summary.series.rows[prefix + name] for name in names if prefix + name in summary.series.rows}
        if lines:
            drawn.append(_figure(Plot(title, "ms", lines), f"{prefix.rstrip('.')}-over-time", summary))
    return "".join(drawn)


def _over_time(summary: Summary) -> str:
    rows = summary.series.rows
    drawn = [
        _figure(Plot(title, unit, {title.lower(): rows[name]}, peaks), name, summary)
        for name, (title, unit, peaks) in ALONE.items()
        if any(rows.get(name, ()))
    ]
    for prefix, (title, unit) in TOGETHER.items():
        lines = {name.removeprefix(prefix): row for name, row in rows.items() if name.startswith(prefix) and any(row)}
        if lines:
            drawn.append(_figure(Plot(title, unit, lines), prefix.rstrip("."), summary))
    known = (P50, P99, *TOGETHER)
    for number_, (name, row) in enumerate(rows.items()):
        if name not in ALONE and not name.startswith(known) and any(row):
            title = name.replace("_", " ")
            drawn.append(_figure(Plot(title.capitalize(), "", {title.lower(): row}), f"row-{number_}", summary))
    if not drawn:
        return ""
    return f'<h2>Over time</h2>{_phases(summary)}<div class="plots">{"".join(drawn)}</div>'


def _figure(plot: Plot, key: str, summary: Summary) -> str:
    alone = list(plot.lines) == [plot.title.lower()]  # its title says what the line is
    names = "" if alone else legend(list(plot.lines))
    drawn = over_time(plot, key, summary.series, summary.phases)
    return f"<figure><h3>{escape(plot.title)}</h3>{names}{drawn}{behind(plot, summary.series)}</figure>"


def _phases(summary: Summary) -> str:
    told = [f"{phase.name} from {phase.begin:.3g} to {phase.end:.3g} s" for phase in summary.phases]
    return f'<p class="soft">Phases: {escape("; ".join(told))}.</p>' if told else ""


def _processes(summary: Summary) -> str:
    parts = []
    for title, caption, processes in (
        ("Servers", "What the relay took", summary.servers),
        ("Load", "What the processes of the load took: near 100 % of a core, they were the limit", summary.generators),
    ):
        if processes:
            heads = ["process", "CPU-seconds", "of one core", "greatest memory", "p99 of the loop's delay"]
            rows: list[Row] = [_process(one, summary.seconds) for one in processes]
            parts.append(f"<h2>{title}</h2>{table(caption, heads, rows)}")
    return "".join(parts)


def _process(one: Process, seconds: float) -> Row:
    share = None if one.cpu_seconds is None or not seconds else 100 * one.cpu_seconds / seconds
    measured = ((share, "%"), (one.rss_max_bytes, "B"), (one.loop_lag_p99_ms, "ms"))
    cells = [Cell("–" if value is None else escape(short(value, unit)), "number") for value, unit in measured]
    return [one.name, number(one.cpu_seconds, 3), *cells]


def _closes(summary: Summary) -> str:
    rows: list[Row] = [
        [role, code, _meaning(code), number(count)]
        for role, codes in summary.closes.items()
        for code, count in sorted(codes.items())
    ]
    return (
        f"<h2>Closes</h2>{table('How connections ended', ['role', 'code', 'meaning', 'count'], rows)}" if rows else ""
    )


def _meaning(code: str) -> str:
    if code in UNSPOKEN:
        return UNSPOKEN[code]
    known = {str(int(close)): close.name for close in Close}
    return known.get(code, "").lower().replace("_", " ")


def _about(summary: Summary) -> str:
    groups = (
        ("What only this scenario measures", summary.details),
        ("Parameters", {**summary.parameters, "seed": summary.seed}),
        ("Totals", msgspec.structs.asdict(summary.totals)),
        ("Host of the load", summary.host),
        ("Versions", summary.versions),
    )
    tables = "".join(f"<div>{pairs(title, values)}</div>" for title, values in groups if values)
    return f'<h2>About this run</h2><div class="facts">{tables}</div>'
