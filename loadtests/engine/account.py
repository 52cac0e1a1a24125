"""Adds up what all processes of the load told, second by second, into the figures of a summary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from loadtests.engine.crowd import Second
from loadtests.engine.tally import add
from loadtests.report.histogram import Histogram
from loadtests.report.progress import State
from loadtests.report.summary import BYTES, CLOSES, CONNECTIONS, ERRORS, FRAMES, P50, P99, Latency, Series, Totals

SHOWN = ("delivery", "echo", "ping", "beat", "hello")  # the first of them that happened is what the display shows
LATENCIES = ("connect", "hello", "attach", "resume", "delivery", "echo", "input", "beat", "ping", "turn", "late")
UNCORRECTED = frozenset({"resume", "turn"})  # begin when a view was lost or a node was busy, which nobody planned

BEATS = "beats_per_second"  # of all machines together

Seconds = Mapping[int, Mapping[int, Second]]


class Account:
    """Everything told so far."""

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds

    def totals(self) -> Counter[str]:
        """Frames, bytes, gaps, connects, errors, refused, and what went wrong, of the whole run."""
        found: Counter[str] = Counter()
        for counts in self._last():
            found.update({name: counts[name] for name in ("frames", "bytes", "gaps", "connects")})
            found.update(errors=sum(counts["errors"].values()), refused=sum(counts["refused"].values()))
            found.update(counts["wrong"])
        return found

    def named(self, what: str) -> Counter[str]:
        """One kind of counters by name: `errors`, `refused`, or operations `begun`."""
        found: Counter[str] = Counter()
        for counts in self._last():
            found.update(counts[what])
        return found

    def closes(self) -> dict[str, dict[str, int]]:
        """By role, by code."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for counts in self._last():
            for role, codes in counts["closes"].items():
                found[role].update(codes)
        return {role: dict(sorted(codes.items())) for role, codes in sorted(found.items())}

    def latencies(self) -> dict[str, Latency]:
        """Percentiles of everything that took time."""
        merged: dict[str, Histogram] = {}
        for told in self._seconds.values():
            for one in told.values():
                for name, grains in one.took.items():
                    add(merged.setdefault(name, Histogram()), grains)
        order = [*(name for name in LATENCIES if name in merged), *sorted(merged.keys() - set(LATENCIES))]
        return {name: merged[name].latency(corrected=name not in UNCORRECTED) for name in order}

    def series(self, watched: Mapping[str, Mapping[int, float]]) -> Series:
        """What was seen each second: of the load, and of the servers in `watched`."""
        rows: dict[str, dict[int, float]] = defaultdict(dict)
        before: Counter[str] = Counter()
        last: dict[int, Mapping[str, Any]] = {}
        for number in sorted(self._seconds):
            told = self._seconds[number]
            last |= {index: one.counts for index, one in told.items()}
            rows[CONNECTIONS][number] = sum(one.connected["agent"] + one.connected["browser"] for one in told.values())
            rows["attachments"][number] = sum(one.connected["attached"] for one in told.values())
            now = _sums(last.values())
            for name, row in ((FRAMES, "frames"), (BYTES, "bytes"), (ERRORS, "errors")):
                rows[name][number] = now[row] - before[row]
            rows[BEATS][number] = now[BEATS] - before[BEATS]
            for role in ("agent", "browser"):
                rows[CLOSES + role][number] = now[CLOSES + role] - before[CLOSES + role]
            before = now
            for name, histogram in self._histograms(number).items():
                for prefix, percent in ((P50, 50), (P99, 99)):
                    value = histogram.percentile(percent)
                    if value is not None:
                        rows[prefix + name][number] = round(value, 3)
        rows.update({name: dict(row) for name, row in watched.items()})
        for name in ("attachments", BEATS):
            if not any(rows[name].values()):
                rows.pop(name, None)  # of a scenario that has none
        seconds = max(self._seconds, default=-1) + 1
        return Series(1.0, {name: [row.get(number) for number in range(seconds)] for name, row in rows.items()})

    def busiest_second(self, prefix: str) -> int:
        """The most in one second of all series together whose names begin so."""
        rows = [row for name, row in self.series({}).rows.items() if name.startswith(prefix)]
        return int(max((sum(value or 0 for value in values) for values in zip(*rows, strict=True)), default=0))

    def state(self, number: int, phase: str, scenario: str, of_seconds: float | None) -> State:
        """The run as of one second, for the display."""
        told = self._seconds[number]
        histograms = self._histograms(number)
        shown = next((histograms[name] for name in SHOWN if name in histograms), Histogram())
        totals = self.totals()
        before = _sums(one.counts for one in self._seconds.get(number - 1, {}).values())
        now = _sums(one.counts for one in told.values())
        return State(
            scenario=scenario,
            phase=phase,
            seconds=number + 1,
            of_seconds=of_seconds,
            connections=sum(one.connected["agent"] + one.connected["browser"] for one in told.values()),
            frames_per_second=max(0, now["frames"] - before["frames"]),
            p50_ms=shown.percentile(50),
            p99_ms=shown.percentile(99),
            errors=totals["errors"],
            lost=totals["lost"],
            duplicated=totals["duplicated"],
            reordered=totals["reordered"],
            generators=len(told),
        )

    def _histograms(self, number: int) -> dict[str, Histogram]:
        found: dict[str, Histogram] = {}
        for one in self._seconds[number].values():
            for name, grains in one.took.items():
                add(found.setdefault(name, Histogram()), grains)
        return found

    def _last(self) -> list[dict[str, Any]]:
        """What each process told last: its counters only grow."""
        last: dict[int, dict[str, Any]] = {}
        for number in sorted(self._seconds):
            last |= {index: one.counts for index, one in self._seconds[number].items()}
        return list(last.values())


def in_total(counted: Counter[str]) -> Totals:
    """The totals of a summary."""
    names = ("frames", "bytes", "lost", "duplicated", "reordered", "gaps", "errors", "connects", "refused")
    return Totals(**{name: counted[name] for name in names})


def _sums(told: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for counts in told:
        found[BEATS] += counts["begun"].get("beats", 0)
        found.update(frames=counts["frames"], bytes=counts["bytes"], errors=sum(counts["errors"].values()))
        found.update({CLOSES + role: sum(codes.values()) for role, codes in counts["closes"].items()})
    return found
