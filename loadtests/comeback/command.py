"""A large fleet back after losing one of several nodes: the time until every machine is elsewhere, and what it cost.

Starts nodes, two sweepers and Redis of its own, and plays the agents over real sockets from processes of their own, by
the rules of the real agent: back-off with full jitter, turns at busy nodes, moves. Browsers and lists at the surviving
nodes watch. Then the last node is killed (--how kill) or asked to stop (--how drain). Prints JSON; exit code 99 if a
machine was shown or announced offline, or is missing at the end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests.bench import host, usage
from loadtests.bench.relaying import Relay
from loadtests.comeback.fault import SIGNALS, Storm, storm

BROKEN, USAGE = 99, 64
# Lease, sweep and flush are over long before; a fleet that misses its deadline is announced after 90 more.
WATCH_SECONDS = 25.0
SETTLE_SECONDS = 12.0  # every agent has beaten once
DRAIN_SECONDS = 10.0  # as a node has it by default


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The scenario's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests comeback", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", type=int, default=10_000, help="agents with real sockets (10000)")
    parser.add_argument("--nodes", type=int, default=3, help="nodes, of which one is lost (3)")
    parser.add_argument("--how", choices=sorted(SIGNALS), default="kill", help="SIGKILL, or SIGTERM and a drain (kill)")
    parser.add_argument("--seconds", type=float, default=WATCH_SECONDS, help="watched after the fault, at least (25)")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds of beats before the fault (12)")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS, help="RELAY_DRAIN_SECONDS (10)")
    parser.add_argument(
        "--handshakes", type=float, help="RELAY_HANDSHAKES of the nodes, if not what they have by default"
    )
    parser.add_argument("--generators", type=int, default=2, help="processes that play the agents (2)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random here (1)")
    parser.add_argument("--json", type=Path, help="add the numbers to the runs in this file")
    options = parser.parse_args(given)
    if options.nodes < 2:
        parser.error("--nodes: losing one of fewer than 2 leaves nobody to come back to")
    return options


async def run(options: argparse.Namespace) -> int:
    """Run it and print what came of it."""
    unsupported = usage.supported()
    if unsupported is not None:
        print(f"relay: {unsupported}")
        return USAGE
    about = {"scenario": "comeback", "how": options.how, "machines": options.machines, "nodes": options.nodes}
    about |= {"handshakesPerSecond": options.handshakes or "default"}
    about |= {"seed": options.seed, "versions": Relay().versions, "host": host.describe()}
    told = {"RELAY_DRAIN_SECONDS": f"{options.drain_seconds:g}"}
    if options.handshakes:
        told["RELAY_HANDSHAKES"] = f"{options.handshakes:g}"
    found = await storm(
        Storm(
            machines=options.machines,
            nodes=options.nodes,
            how=options.how,
            seconds=options.seconds,
            settle_seconds=options.settle,
            told=told,
            processes=options.generators,
            seed=options.seed,
        )
    )
    found = {**about, **found}
    print(json.dumps(found, indent=2))
    if options.json:
        _add(options.json, found)
    return BROKEN if found["broken"] else 0


def _add(path: Path, found: dict[str, Any]) -> None:
    """One run more: to kill and to drain, and to do it twice, tells more together."""
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    path.write_text(json.dumps({"runs": [*runs, found]}, indent=1) + "\n", encoding="utf-8")
