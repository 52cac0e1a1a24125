"""Reads what one of everything costs from the committed measurements, and says of each number where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from relay.rules.timing import BEAT_JITTER, BEAT_SECONDS

RESULTS = Path(__file__).parents[1] / "results"
BENCH, MODEL = "bench.json", "model/costs.json"
SPEED = "millionAdditionsPerCpuSecond"  # before and after each measurement
MICROSECONDS = 1e6
# Beats come up to a fifth early; how often in the mean.
BEAT_EVERY_SECONDS = BEAT_SECONDS * (1 - BEAT_JITTER / 2)
ALONE_SECONDS = 0.0021  # between two beats of the row of those that come alone, the sending included
BEATING = 100_000  # machines of the row that says what their beats cost Redis
ONE_TO, HUNDRED_BY, FIFTY_BY = 50, 3, 4  # receivers of each frame in the rows of those names


class Cost(NamedTuple):
    """What one of something costs: processor time in µs, memory in bytes."""

    value: float
    unit: str
    source: str  # the file and its rows
    how: str  # from those to this


Costs = Mapping[str, Cost]


class Missing(Exception):
    """Which measurement a cost comes from that is not there, as a sentence."""


def read(folder: Path = RESULTS) -> Costs:
    """All costs; raises `Missing` where a measurement is not there."""
    bench, measured = _json(folder / BENCH), _json(folder / MODEL)
    try:
        rows = {row["name"]: row["found"]["relay"].get("median") for row in bench["rows"]}
        # In a second of its processor the same machine does more at some times than at others: told at bench's speed.
        part = mean(measured["host"][SPEED]) / mean(bench["host"][SPEED])
        own = {
            name: {**one, "value": one["value"] * (part if one["unit"].startswith("µs") else 1)}
            for name, one in measured["costs"].items()
        }
        machines = _of_machines(rows)
        told = Cost(mean(bench["host"][SPEED]), "M additions", "bench.json: host", "a CPU-second, in all of these")
        rest = {"attach": _of_attach(own, machines), "speed": told}
        return {**_of_frames(rows, own), **machines, **_of_rest(rows, own), **rest}
    except (KeyError, TypeError) as error:
        raise Missing(f"{folder}: {BENCH} or {MODEL} has no row {error}") from error


def _of_frames(rows: Mapping[str, float], own: Mapping[str, Any]) -> dict[str, Cost]:
    """A frame costs once for coming in, once for each receiver, and once for going over Redis: three unknowns, and
    three rows with different numbers of receivers."""
    lone, few, crossed = (
        MICROSECONDS / rows[name] for name in ("one-to-50", "hundred-by-3", "two-nodes-50-by-4")
    )  # µs of all servers for each delivery
    incoming = (few - lone) / (1 / HUNDRED_BY - 1 / ONE_TO)
    delivery = lone - incoming / ONE_TO
    # The split was measured in another run, on a machine that was busier: its proportions count, its sum does not.
    parts = {name: own[f"crossing-{name}"]["value"] for name in ("sender", "redis", "receiver")}
    slower = sum(parts.values()) / (crossed * FIFTY_BY)
    at_home = {"sender": incoming, "redis": 0.0, "receiver": delivery * FIFTY_BY}
    shared = {name: part / slower - at_home[name] for name, part in parts.items()}
    two, three = "bench.json: one-to-50, hundred-by-3", "bench.json: the same and two-nodes-50-by-4"
    return {
        "incoming": Cost(incoming, "µs", two, "two rows that differ in receivers only"),
        "delivery": Cost(delivery, "µs", two, "the same"),
        **{
            f"crossing-{name}": Cost(
                value, "µs", f"{three}; costs.json: crossing-{name}", "what two nodes cost more, as it was split"
            )
            for name, value in shared.items()
        },
    }


def _of_machines(rows: Mapping[str, float]) -> dict[str, Cost]:
    beating = rows["beats-redis"] / 100 * MICROSECONDS * BEAT_EVERY_SECONDS / BEATING
    return {
        "beat": Cost(
            MICROSECONDS / rows["beats-taken"] + MICROSECONDS / rows["beats"],
            "µs", "bench.json: beats-taken, beats", "to take one and to flush it",
        ),
        "heard": Cost(MICROSECONDS / rows["beats-taken"], "µs", "bench.json: beats-taken", "a small frame that comes"),
        "beat-redis": Cost(beating, "µs", "bench.json: beats-redis", "its share of a core, by beat"),
        "agent": Cost(MICROSECONDS / rows["handshakes-agents"], "µs", "bench.json: handshakes-agents", "one by one"),
        "agent-redis": Cost(rows["handshakes-redis"], "µs", "bench.json: handshakes-redis", "as it is"),
        "agent-bytes": Cost(rows["idle-agent"] * 1024, "bytes", "bench.json: idle-agent", "as it is"),
        "browser-bytes": Cost(rows["idle-browser"] * 1024, "bytes", "bench.json: idle-browser", "as it is"),
        "browser": Cost(
            MICROSECONDS / rows["handshakes-browsers"], "µs", "bench.json: handshakes-browsers", "one by one"
        ),
        "sweep-redis": Cost(rows["sweep-quiet"] * 1e3, "µs", "bench.json: sweep-quiet", "one that finds nothing"),
    }  # fmt: skip


def _of_rest(rows: Mapping[str, float], own: Mapping[str, Any]) -> dict[str, Cost]:
    """What no row of the benchmark says; measured by `python -m loadtests model --measure`."""
    # What was measured besides is taken off: the beat itself, and what the node does at rest for as long.
    alone = own["beat-alone"]["value"] - MICROSECONDS / rows["beats-taken"]
    alone -= own["node-idle"]["value"] * ALONE_SECONDS
    wake = Cost(
        max(0.0, alone), "µs", "costs.json: beat-alone, node-idle; bench.json: beats-taken", "a beat alone, less a beat"
    )
    publish = max(0.0, own["publish-alone"]["value"] - own["redis-idle"]["value"] * ALONE_SECONDS)
    redis_wake = Cost(publish, "µs", "costs.json: publish-alone, redis-idle", "a publish alone")
    names = (
        "node-idle", "redis-idle", "node-bytes", "redis-bytes", "machine-redis-bytes", "socket-bytes", "listed",
        "follow", "follow-machine", "follow-machine-redis", "scrape", "start",
    )  # fmt: skip
    return {"wake": wake, "wake-redis": redis_wake} | {
        name: Cost(own[name]["value"], own[name]["unit"], f"costs.json: {name}", own[name]["what"]) for name in names
    }


def _of_attach(own: Mapping[str, Any], machines: Mapping[str, Cost]) -> Cost:
    """One over two nodes; what its browser and its part of the agent took to come is taken off."""
    came = machines["browser"].value + machines["agent"].value / FIFTY_BY
    what = "costs.json: seated; bench.json: handshakes-agents, handshakes-browsers"
    return Cost(max(0.0, own["seated"]["value"] - came), "µs", what, "over two nodes, less those who come")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Missing(f"{path}: {error}") from error
