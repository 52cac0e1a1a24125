"""Compares what the model predicts with what was measured at points that its costs do not come from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.model.costs import BEAT_EVERY_SECONDS, MODEL, Costs
from loadtests.model.work import Counts, nodes_used, redis_used
from loadtests.report.measures import HOLD
from loadtests.report.summary import CPU, Summary, read
from relay.rules.timing import PING_SECONDS, SEEN_SECONDS

COMEBACK = "comeback.json"
RUNS = ("model/fanout.json", "model/terminals.json")  # of scenarios whose frames the model knows how to count


class Point(NamedTuple):
    """One thing that was measured, and what it was about."""

    name: str
    what: str
    inputs: Mapping[str, float]
    unit: str
    measured: float


class Checked(NamedTuple):
    """A point beside its prediction; `error` as a part of what was measured."""

    point: Point
    predicted: float

    @property
    def error(self) -> float:
        """How far the prediction is off: above nought, the model asks for more than was needed."""
        return self.predicted / self.point.measured - 1


def check(costs: Costs, folder: Path) -> list[Checked]:
    """Every measured point that is in the folder."""
    return [Checked(point, predict(point, costs)) for point in points(folder)]


def points(folder: Path) -> list[Point]:
    """What was measured: memory, fleets that came back, frames of the load tests' own scenarios."""
    own = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    found = [Point(**point) for point in own["points"]]
    if (folder / COMEBACK).exists():
        for number, run in enumerate(json.loads((folder / COMEBACK).read_text(encoding="utf-8"))["runs"], 1):
            found += _of_comeback(number, run)
    for name in RUNS:
        if (folder / name).exists():
            found += _of_frames(read(folder / name))
    return found


def predict(point: Point, costs: Costs) -> float:
    """What the model says of this point."""
    given = dict(point.inputs)
    if point.name == "node-memory":
        held = given["agents"] * costs["agent-bytes"].value + given["browsers"] * costs["browser-bytes"].value
        return costs["node-bytes"].value + held
    seconds, nodes = given.pop("seconds"), given.pop("nodes")
    counts = Counts(**given)
    if point.name.endswith("redis"):
        return redis_used(counts, costs, seconds)
    return nodes_used(counts, costs, seconds * nodes)


def _of_comeback(number: int, run: Mapping[str, Any]) -> list[Point]:
    """The survivors' processor time while the machines of a lost node came back to them."""
    spent, back = run["usedWhileReturning"], run["agents"]["welcomedElsewhere"]["machines"]
    survivors = [name for name in spent["cpuSeconds"] if name.startswith("node-")]
    inputs = {
        "seconds": spent["seconds"], "nodes": len(survivors), "agents": back,
        "beats": spent["seconds"] * run["machines"] / BEAT_EVERY_SECONDS,
        "pings": spent["seconds"] * run["machines"] / PING_SECONDS,
    }  # fmt: skip
    load = run["loadAverage"]["before"]
    how = f"{back:,} machines of a node that was {run['how']}ed come back, at a load of {load:.0f}"
    cpu = sum(spent["cpuSeconds"][name] for name in survivors)
    return [
        Point(f"comeback-{number}-nodes", f"{how}: the others", inputs, "CPU-seconds", cpu),
        Point(f"comeback-{number}-redis", f"{how}: Redis", inputs, "CPU-seconds", spent["cpuSeconds"]["engine"]),
    ]


def _of_frames(summary: Summary) -> list[Point]:
    """Processor time in a run of one of our scenarios, while nobody came and nobody went."""
    nodes = [one.name for one in summary.servers if one.name.startswith("node-")]
    hold = next(phase for phase in summary.phases if phase.name == HOLD)
    first, last = math.ceil(hold.begin), int(hold.end)
    seconds, size = last - first, summary.parameters
    away = 1 - 1 / len(nodes)
    if summary.scenario == "fanout":
        said, typed, asked = size["sessions"] * size["rate"] * seconds, 0.0, 1.0
        views = size["sessions"] * size["watchers"]
        heard, crossed = said * size["watchers"], said * min(len(nodes) - 1, size["watchers"])
    else:
        said = typed = heard = size["terminals"] * size["each"] / size["bytes"] * seconds
        views, asked, crossed = size["terminals"], 0.0, (said + typed) * away
    # Each process of the load lets all its people report at once, so a node reads and passes on many at one waking.
    reports = views * seconds / SEEN_SECONDS if said else 0.0
    machines = size["sessions"] if summary.scenario == "fanout" else size["terminals"]
    inputs = {
        "seconds": seconds, "nodes": len(nodes), "beats": seconds * machines / BEAT_EVERY_SECONDS,
        "pings": seconds * ((machines + views) / PING_SECONDS + views * asked), "incoming": said + typed + reports,
        "delivered": heard + typed + reports, "crossed": crossed + reports * away,
        "together": reports, "crossed_together": reports * away,
    }  # fmt: skip
    what = f"{summary.scenario}, {heard / seconds:,.0f} frames/s to people on {len(nodes)} nodes, at a load of"
    what = f"{what} {summary.host.get('load', 0):.0f}"
    return [
        Point(
            f"{summary.scenario}-nodes",
            f"{what}: the nodes",
            inputs,
            "CPU-seconds",
            _spent(summary, nodes, first, last),
        ),
        Point(
            f"{summary.scenario}-redis",
            f"{what}: Redis",
            inputs,
            "CPU-seconds",
            _spent(summary, ["engine"], first, last),
        ),
    ]


def _spent(summary: Summary, processes: Sequence[str], first: int, last: int) -> float:
    """CPU-seconds of these processes between two seconds of the run."""
    rows = [summary.series.rows[CPU + name][first:last] for name in processes]
    return sum(value for row in rows for value in row if value is not None) / 100 * summary.series.interval_seconds
