"""Turns what agents noted and watchers saw into a few numbers, and names every promise that was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from loadtests.numbers import quantile, summary


def of_agents(journal: dict[str, Any], machines: Collection[str], began: float) -> dict[str, Any]:
    """What the agents themselves saw from `began` on; `machines` are those of the lost node."""
    first: dict[str, float] = {}
    for at, machine, _node in sorted(journal["welcomed"]):
        first.setdefault(machine, at - began)
    returned = [seconds for machine, seconds in first.items() if machine in machines]
    lost = [at - began for at, _, _ in journal["lost"]]
    moved = [at - began for at in journal["moved"]]
    return {
        "welcomedElsewhere": spread(returned, len(machines)),
        "welcomesPerSecond": _per_second(returned),
        "lostConnections": len(lost),
        "lostByCode": Counter(str(code) for _, _, code in journal["lost"]),
        "movedBeforeTheyLost": len(moved),
        "connectionsEndedPerSecond": _per_second([*lost, *moved]),
        "handshakesRefused": journal["refused"],
        "retryAfterSeconds": summary(journal["turns"]),
        "endedForGood": journal["ended"],
    }


def spread(seconds: Sequence[float], machines: int) -> dict[str, float]:
    """When half, 99 % and all of so many were there; what was not reached is not said."""
    ordered = sorted(seconds)
    marks = {"halfSeconds": 0.5, "p99Seconds": 0.99}
    found = {name: round(quantile(ordered, part), 2) for name, part in marks.items() if len(ordered) > machines * part}
    if machines and len(ordered) >= machines:
        found["allSeconds"] = round(ordered[-1], 2)
    return {"machines": len(ordered), **found}


def broken(found: dict[str, Any], machines: int) -> list[str]:
    """Every promise that was not kept to so many machines, as a sentence."""
    lines = []
    if found["watched"]["shownOffline"]:
        lines.append(f"{found['watched']['shownOffline']} machines were shown offline")
    if found["announcedOffline"]:
        lines.append(f"{found['announcedOffline']} machines were announced offline")
    for what, count in found["atTheEnd"].items():
        if count < machines:
            lines.append(f"{machines - count} machines are missing at the end: {what}")
    if found["agents"]["endedForGood"]:
        lines.append(f"{len(found['agents']['endedForGood'])} agents ended for good")
    if not found["lostNode"]["machines"]:
        lines.append("the lost node held nobody, so that nothing was shown")
    return lines


def _per_second(moments: Sequence[float]) -> list[int]:
    counted = [0] * (int(max([*moments, 0.0])) + 1)
    for moment in moments:
        counted[max(0, int(moment))] += 1
    return counted
