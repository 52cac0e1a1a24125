"""Names everything in a summary that a threshold may judge, with its kind and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from loadtests.report.histogram import Histogram
from loadtests.report.summary import CPU, RSS, Process, Summary, Totals

Kind = Literal["time", "size", "share", "growth", "rate", "count"]
Read = Callable[[Summary], float | None]

# How many of the base each unit is; the first is what values are kept in. Only a count may be written bare, for "250"
# milliseconds and "250" seconds look the same; nought is nought in all of them.
UNITS: dict[Kind, dict[str, float]] = {
    "time": {"ms": 1, "us": 1e-3, "µs": 1e-3, "s": 1e3, "min": 60e3},
    "size": {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    "share": {"%": 1},
    "growth": {"MiB/h": 1, "KiB/h": 2**-10, "GiB/h": 2**10},
    "rate": {"/s": 1, "/min": 1 / 60},
    "count": {"": 1},
}
ROLES = ("agent", "browser")
TOTALS = tuple(field.name for field in msgspec.structs.fields(Totals))
OF_PROCESSES = ("rss_max", "rss_slope", "cpu_max", "cpu_seconds", "loop_lag_p99")
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?|100)")
CODE = re.compile(r"[1-4]\d{3}")
SETTLED = 1 / 5  # of a run, left out of a slope: caches fill and pools grow at first in any server
HOLD = "hold"  # the phase in which nothing comes and nothing goes
MIB = 2**20
HOUR_SECONDS = 3600.0


class Unknown(Exception):
    """Why nothing has this name, as a sentence that says what there is."""


@dataclass(frozen=True)
class Measure:
    """One figure of a run; None from `read` says that this run did not measure it."""

    kind: Kind
    read: Read


def measure(name: str, latencies: Collection[str], servers: Collection[str] = ()) -> Measure:
    """The measure of this name; raises Unknown. `latencies` and `servers` are those that the run is going to have."""
    group, _, rest = name.partition(".")
    if group in latencies:
        return _of_latency(group, rest)
    if group == "totals":
        return _of_totals(group, rest, per_second=False)
    if group == "rates":
        return _of_totals(group, rest, per_second=True)
    if group == "closes":
        return _of_closes(rest)
    if group == "servers":
        return _of_servers(rest, servers)
    known = [*sorted(latencies), "totals", "rates", "closes", "servers"]
    raise Unknown(f"expected a name that begins with one of {', '.join(known)}")


def _of_latency(name: str, stat: str) -> Measure:
    if stat == "count":
        return Measure("count", lambda summary: _count(summary, name))
    percentile = PERCENTILE.fullmatch(stat)
    if stat != "max" and percentile is None:
        raise Unknown(f"expected p50, p90, p99, p99.9, any other percentile, max or count after '{name}.'")
    percent = None if percentile is None else float(percentile.group(1))

    def read(summary: Summary) -> float | None:
        latency = summary.latencies.get(name)
        if latency is None:
            return None
        if percent is None:
            return latency.max
        written = {50.0: latency.p50, 90.0: latency.p90, 99.0: latency.p99, 99.9: latency.p99_9}
        return written[percent] if percent in written else Histogram.of(latency.histogram).percentile(percent)

    return Measure("time", read)


def _count(summary: Summary, name: str) -> float | None:
    return summary.latencies[name].count if name in summary.latencies else None


def _of_totals(group: str, field: str, *, per_second: bool) -> Measure:
    if field not in TOTALS:
        raise Unknown(f"expected one of {', '.join(TOTALS)} after '{group}.'")

    def read(summary: Summary) -> float | None:
        value = float(getattr(summary.totals, field))
        if not per_second:
            return value
        return value / summary.seconds if summary.seconds > 0 else None

    if per_second:
        return Measure("rate", read)
    return Measure("size" if field == "bytes" else "count", read)


def _of_closes(rest: str) -> Measure:
    role, _, code = rest.partition(".")
    if role not in ROLES or not (code == "total" or CODE.fullmatch(code)):
        raise Unknown(f"expected closes.ROLE.CODE or closes.ROLE.total, with a role of {' or '.join(ROLES)}")

    def read(summary: Summary) -> float | None:
        closes = summary.closes.get(role, {})
        return float(sum(closes.values()) if code == "total" else closes.get(code, 0))

    return Measure("count", read)


def _of_servers(rest: str, known: Collection[str]) -> Measure:
    server, _, stat = rest.rpartition(".")
    if server and server not in known:
        raise Unknown(f"expected no server's name or one of {', '.join(sorted(known))}" if known else "no such server")
    kinds: dict[str, Kind] = dict(zip(OF_PROCESSES, ("size", "growth", "share", "time", "time"), strict=True))
    if stat not in kinds:
        raise Unknown(f"expected one of {', '.join(OF_PROCESSES)} at the end")

    def read(summary: Summary) -> float | None:
        values = [_of_process(summary, one, stat) for one in summary.servers if server in ("", one.name)]
        seen = [value for value in values if value is not None]
        return None if not seen else sum(seen) if stat == "cpu_seconds" else max(seen)

    return Measure(kinds[stat], read)


def _of_process(summary: Summary, process: Process, stat: str) -> float | None:
    if stat == "rss_max":
        return process.rss_max_bytes
    if stat == "loop_lag_p99":
        return process.loop_lag_p99_ms
    if stat == "cpu_seconds":
        return None if process.cpu_seconds is None else process.cpu_seconds * UNITS["time"]["s"]
    if stat == "rss_slope":
        return slope(_steady(summary, RSS + process.name), summary.series.interval_seconds)
    return max((value for value in summary.series.rows.get(CPU + process.name, ()) if value is not None), default=None)


def _steady(summary: Summary, name: str) -> list[float | None]:
    """A row of the series during the phase called hold, or of the whole run if it has none."""
    row, interval = summary.series.rows.get(name, []), summary.series.interval_seconds
    for phase in summary.phases:
        if phase.name == HOLD:
            return row[int(phase.begin / interval) : int(phase.end / interval)]
    return row


def slope(row: Iterable[float | None], interval_seconds: float) -> float | None:
    """How many MiB an hour a row of bytes grows after it has settled, by least squares; None of fewer than three."""
    values = list(row)
    first = int(len(values) * SETTLED)
    points = [
        (index * interval_seconds, value) for index, value in enumerate(values) if index >= first and value is not None
    ]
    if len(points) < 3:
        return None
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    grown = sum((at - middle) * (value - mean) for at, value in points)
    return grown / spread * HOUR_SECONDS / MIB
