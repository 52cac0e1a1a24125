"""Compares what the model predicts with what was measured at points that its costs do not come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.model.costs import BEAT_EVERY_SECONDS, MODEL, Costs
from loadtests.model.runs import counted, speed, spent
from loadtests.model.work import Counts, nodes_used, redis_used
from loadtests.report.summary import Summary, read
from relay.rules.timing import PING_SECONDS

COMEBACK = "comeback.json"
RUNS = (
    "model/fanout.json", "model/terminals.json",
    "production.summary.json", "storm.summary.json", "deploy.summary.json",
)  # fmt: skip


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


def check(costs: Costs, folder: Path, more: Sequence[Point] = ()) -> list[Checked]:
    """Every measured point that is in the folder, and those that are given."""
    return [Checked(point, predict(point, costs)) for point in [*points(folder), *more]]


def points(folder: Path) -> list[Point]:
    """What was measured: memory, fleets that came back, frames of the load tests' own scenarios."""
    own = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    found = [Point(**point) for point in own["points"]]
    if (folder / COMEBACK).exists():
        for number, run in enumerate(json.loads((folder / COMEBACK).read_text(encoding="utf-8"))["runs"], 1):
            found += _of_comeback(number, run)
    for name in RUNS:
        if (folder / name).exists():
            found += of_run(read(folder / name))
    return found


def predict(point: Point, costs: Costs) -> float:
    """What the model says of this point."""
    given = dict(point.inputs)
    if point.name == "node-memory":
        held = given["agents"] * costs["agent-bytes"].value + given["browsers"] * costs["browser-bytes"].value
        return costs["node-bytes"].value + held
    seconds, nodes = given.pop("seconds"), given.pop("nodes")
    then = costs["speed"].value / given.pop("speed", costs["speed"].value)  # a slow moment's seconds are worth less
    counts = Counts(**given)
    if point.name.endswith("redis"):
        return redis_used(counts, costs, seconds) * then
    return nodes_used(counts, costs, seconds * nodes) * then


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


def of_run(summary: Summary) -> list[Point]:
    """Processor time of nodes and of Redis in a run of our scenarios, once everybody was there; raises `Uncounted`."""
    nodes = [one.name for one in summary.servers if one.name.startswith("node-")]
    first, last, counts = counted(summary, len(nodes))
    load, rate = summary.host.get("load", 0), counts.delivered / (last - first)
    what = f"{summary.scenario}, {rate:,.0f} frames and reports a second on {len(nodes)} nodes, at a load of {load:.0f}"
    inputs = {"seconds": last - first, "nodes": len(nodes), **asdict(counts)}
    worth = speed(summary, first, last)
    if worth is not None:
        inputs["speed"] = worth
    return [
        Point(f"{summary.scenario}-{part}", f"{what}: {who}", inputs, "CPU-seconds", spent(summary, names, first, last))
        for part, who, names in (("nodes", "the nodes", nodes), ("redis", "Redis", ["engine"]))
    ]
