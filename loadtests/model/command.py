"""What a fleet needs: nodes, Redis, memory, network, and what gives way first, from the committed unit costs.

    python -m loadtests model --machines 1000000 --browsers 100000 --zones 3
    python -m loadtests model --check            predictions beside what was measured
    python -m loadtests model --costs            each cost and where it comes from
    python -m loadtests model --table README.md  write the sizing table between its marks
    python -m loadtests model --measure loadtests/results/model/costs.json

The model is of processors like the one that was measured. TLS, PostgreSQL and proxies are not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from loadtests.model import table
from loadtests.model.costs import RESULTS, Missing, read
from loadtests.model.fleet import Fleet, Impossible
from loadtests.model.measuring import measure
from loadtests.model.points import check, of_run
from loadtests.model.runs import Uncounted
from loadtests.model.sizing import size
from loadtests.model.walls import walls
from loadtests.report import summary

USAGE = 64
WORDS = {
    "machines": "agents that are connected", "browsers": "people's sockets",
    "sessions": "that talk at the same time; 0: half as many as browsers", "watchers": "attachments of each session",
    "frames": "that a session says in a second", "frame_bytes": "of each", "inputs": "typed into a session in a second",
    "workspace_machines": "machines of one workspace", "changes": "of a machine in an hour",
    "scrape_seconds": "between two looks of Prometheus at a node",
    "lists": "that each browser asks for in an hour", "zones": "any one of which may be lost",
    "headroom": "part of every processor that stays free", "return_seconds": "until a lost zone is back",
    "sockets": "RELAY_SOCKETS of a node", "node_mib": "memory of a node", "redis_mib": "memory of a Redis",
    "proxy_sockets": "connections of a proxy", "database_connections": "PostgreSQL's max_connections",
}  # fmt: skip


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The model's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in fields(Fleet):
        kind = float if isinstance(field.default, float) else int
        name = field.name.replace("_", "-")
        parser.add_argument(
            f"--{name}", type=kind, default=field.default, metavar="N", help=f"{WORDS[field.name]} ({field.default})"
        )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--check", action="store_true", help="predicted, measured, error of every measured point")
    parser.add_argument(
        "--run", action="append", default=[], type=Path, metavar="FILE", help="with --check: also this summary.json"
    )
    parser.add_argument("--costs", action="store_true", help="every cost with its source")
    parser.add_argument("--table", nargs="?", const=Path(), type=Path, metavar="FILE", help="the table, or into FILE")
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure what no benchmark row says: ten minutes")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args(given)


async def run(options: argparse.Namespace) -> int:
    """Answer what was asked; 64 for a fleet that cannot be, or measurements that are missing."""
    if options.measure is not None:
        options.measure.write_text(json.dumps(await measure(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    try:
        print(*_answer(options), sep="\n")
    except (Impossible, Missing, Uncounted, table.Unmarked, summary.Unreadable, OSError) as error:
        print(f"relay: {error}", file=sys.stderr)
        return USAGE
    return 0


def _answer(options: argparse.Namespace) -> list[str]:
    costs = read(options.results)
    if options.costs:
        return [
            f"{name:<20} {cost.value:>14,.4g} {cost.unit:<14} {cost.source}: {cost.how}" for name, cost in costs.items()
        ]
    if options.check:
        more = [point for path in options.run for point in of_run(summary.read(path))]
        return table.checks(check(costs, options.results, more))
    if options.table is not None:
        text = table.table(costs, check(costs, options.results))
        if options.table == Path():
            return [text]
        written = table.replaced(options.table, text)
        options.table.write_text(written, encoding="utf-8")
        return [f"written into {options.table}"]
    sizing = size(Fleet(**{field.name: getattr(options, field.name) for field in fields(Fleet)}), costs)
    near = walls(sizing, costs)
    return [json.dumps(table.data(sizing, near), indent=1)] if options.json else table.lines(sizing, near)
