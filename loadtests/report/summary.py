"""Describes what one run found, as `summary.json`: written by the engine, judged by thresholds, drawn by the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

SCHEMA: Final = 1
Verdict = Literal["held", "exceeded", "void"]
# 99 is what load tests commonly end with when a threshold is exceeded. A run that lost, repeated or swapped a frame
# says nothing of speed and everything of the relay, so it has a code of its own.
EXIT_CODES: dict[Verdict, int] = {"held": 0, "exceeded": 99, "void": 1}
PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)

# Series that the page and the live display know by name; others are drawn under their own.
CONNECTIONS: Final = "connections"
FRAMES: Final = "frames_per_second"
BYTES: Final = "bytes_per_second"
ERRORS: Final = "errors_per_second"
SPEED: Final = "million_additions_per_cpu_second"  # of this machine meanwhile: how much a CPU-second was worth
# And by prefix: "p50.delivery", "p99.delivery" in ms; "cpu.node-1" in per cent of one core; "rss.node-1" in bytes;
# "lag.node-1" in ms, of the event loop; "closes.browser" per second.
P50, P99, CPU, RSS, LAG, CLOSES = "p50.", "p99.", "cpu.", "rss.", "lag.", "closes."


class Unreadable(Exception):
    """Why a file is no summary of a run, as a sentence."""


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """What was loaded; `own`: started by the run itself, so that its processes could be watched."""

    urls: list[str] = []
    own: bool = True


class Totals(msgspec.Struct, forbid_unknown_fields=True):
    """Of the whole run. `lost`, `duplicated` and `reordered` make it void; `gaps` are what the relay said openly."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    gaps: int = 0
    errors: int = 0
    connects: int = 0
    refused: int = 0


class Latency(msgspec.Struct, forbid_unknown_fields=True):
    """How long one kind of thing took; `corrected`: counted from when it was due, not from when it was begun.

    Percentiles are None when nothing of the kind happened. `histogram` is (up to so many ms, how many), ascending."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p99_9: float | None = msgspec.field(default=None, name="p99.9")
    max: float | None = None
    corrected: bool = True
    histogram: list[tuple[float, int]] = []
    unit: Literal["ms"] = "ms"


class Series(msgspec.Struct, forbid_unknown_fields=True):
    """What was seen each interval, all rows of the same length; None where nothing was."""

    interval_seconds: float = 1.0
    rows: dict[str, list[float | None]] = {}


class Process(msgspec.Struct, forbid_unknown_fields=True):
    """What one server, or one process of the load, took; None where it could not be seen from here."""

    name: str
    cpu_seconds: float | None = None
    rss_max_bytes: int | None = None
    loop_lag_p99_ms: float | None = None


class Phase(msgspec.Struct, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}):
    """A part of the run with a name, in seconds since its start."""

    name: str
    begin: float
    end: float


class Judged(msgspec.Struct, forbid_unknown_fields=True):
    """One threshold and what became of it; a value that was never measured holds nothing."""

    text: str
    value: float | None
    held: bool


class Summary(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One run. `generators` are the processes of the load, so that everybody sees whether they were the bottleneck."""

    schema: int = SCHEMA
    scenario: str
    seed: int
    started: str  # ISO 8601, UTC
    seconds: float
    target: Target = msgspec.field(default_factory=Target)
    host: dict[str, Any] = {}
    versions: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    totals: Totals = msgspec.field(default_factory=Totals)
    latencies: dict[str, Latency] = {}
    closes: dict[str, dict[str, int]] = {}  # by role, then by code as text
    series: Series = msgspec.field(default_factory=Series)
    servers: list[Process] = []
    generators: list[Process] = []
    phases: list[Phase] = []
    violations: list[str] = []  # sentences; any of them makes the run void
    notes: list[str] = []  # what else a reader of the report has to know
    details: dict[str, Any] = {}  # what only this scenario measures
    thresholds: list[Judged] = []
    verdict: Verdict = "held"


def concluded(summary: Summary, judged: Sequence[Judged]) -> Summary:
    """The same run with its thresholds and the verdict that follows."""
    totals = summary.totals
    if summary.violations or totals.lost or totals.duplicated or totals.reordered:
        verdict: Verdict = "void"
    else:
        verdict = "held" if all(one.held for one in judged) else "exceeded"
    return msgspec.structs.replace(summary, thresholds=list(judged), verdict=verdict)


def write(path: Path, summary: Summary) -> None:
    """Write `summary.json`; one series or histogram a line, so that two runs can be compared by eye."""
    path.write_text(_pretty(msgspec.to_builtins(summary)) + "\n", encoding="utf-8")


def read(path: Path) -> Summary:
    """A summary that was written before; raises Unreadable for anything else, with the place that is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    try:
        schema = msgspec.json.decode(content, type=dict[str, Any]).get("schema")
        if schema != SCHEMA:
            raise Unreadable(f"{path}: schema {schema!r}, this program reads {SCHEMA}")
        summary = msgspec.json.decode(content, type=Summary)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"{path}: {error}") from error
    wrong = faults(summary)
    if wrong:
        raise Unreadable(f"{path}: {wrong[0]}")
    return summary


def faults(summary: Summary) -> list[str]:
    """Everything in a summary that cannot be, as sentences."""
    found = [
        f"totals.{name} is negative" for name, value in msgspec.structs.asdict(summary.totals).items() if value < 0
    ]
    if len({len(row) for row in summary.series.rows.values()}) > 1:
        found.append("the rows of the series differ in length")
    if summary.series.interval_seconds <= 0:
        found.append("series.interval_seconds is not positive")
    for name, latency in summary.latencies.items():
        found += [f"latencies.{name}: {wrong}" for wrong in _latency_faults(latency)]
    found += [f"phase {phase.name!r} ends before it begins" for phase in summary.phases if phase.end < phase.begin]
    return found


def _latency_faults(latency: Latency) -> list[str]:
    shown = [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max]
    seen = [value for value in shown if value is not None]
    found = []
    if seen != sorted(seen):
        found.append("a higher percentile is lower")
    if len(seen) != (len(shown) if latency.count else 0):
        found.append("percentiles and count do not agree")
    if latency.histogram and sum(count for _, count in latency.histogram) != latency.count:
        found.append("the histogram does not hold as many as were counted")
    return found


def _pretty(value: Any, indent: str = "") -> str:
    """JSON with lists of plain values on one line."""
    if isinstance(value, Mapping) and value:
        inner = ",\n".join(f"{indent} {_plain(key)}: {_pretty(item, indent + ' ')}" for key, item in value.items())
        return f"{{\n{inner}\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(f"{indent} {_pretty(item, indent + ' ')}" for item in value) + f"\n{indent}]"
    return _plain(value)


def _plain(value: Any) -> str:
    return msgspec.json.encode(value).decode()
