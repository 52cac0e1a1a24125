"""Says what a chaos was in the form that all load tests share, so that thresholds judge it and a page shows it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.bench import host
from loadtests.bench.relaying import Relay
from loadtests.report.histogram import Histogram
from loadtests.report.summary import Summary, Target, Totals

CAUGHT_UP = "caught-up"  # from a fault, or its end where it lasts, until a browser saw what was said after it
MILLISECONDS = 1_000.0
LATENCIES = (CAUGHT_UP,)


def as_summary(
    found: Mapping[str, Any], took: Mapping[str, Sequence[float]], seconds: float, began: datetime.datetime
) -> Summary:
    """The run whose figures these are; `took` are seconds to catch up, by fault. Every broken promise is a violation,
    and makes the run void."""
    histogram = Histogram()
    for times in took.values():
        for each in times:
            histogram.add(each * MILLISECONDS)
    frames = found["recordsChecked"] + found["inputsChecked"]
    return Summary(
        scenario="chaos",
        seed=found["seed"],
        started=began.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        target=Target([], own=True),
        host=host.describe(),
        versions=Relay().versions,
        parameters={"minutes": found["minutes"]},
        totals=Totals(frames=frames, gaps=found["gapsDeclared"], connects=found["welcomes"]),
        latencies={CAUGHT_UP: histogram.latency(corrected=False)} if histogram.count else {},
        violations=list(found["violations"]),
        details={name: value for name, value in found.items() if name not in ("violations", "scenario", "seed")},
    )
