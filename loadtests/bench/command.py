"""What a node costs: frames, latency, idle connections, handshakes, beats and sweeps, in CPU-seconds of its servers.

Starts servers of its own on one core and plays all peers from another, over raw sockets; what the generator uses never
enters a figure. Every fan-out counts each delivery and compares a sample byte by byte: a frame that is lost, repeated,
changed or out of order makes the row void. Figures are medians of interleaved rounds. Exit code 99 if a goal is
missed, 1 if a row is void.

--compare measures the fan-outs of other systems beside ours in the same rounds, of all that are known or of those
named. --table FILE prints the table of an
earlier run's --json FILE as Markdown and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loadtests.bench import affinity, host, report, usage
from loadtests.bench.beats import Beats
from loadtests.bench.contender import Contender
from loadtests.bench.fanout import FANOUTS
from loadtests.bench.handshakes import Handshakes
from loadtests.bench.idle import Idle
from loadtests.bench.latency import Latency
from loadtests.bench.plain import Plain
from loadtests.bench.plan import Plan, Scenario
from loadtests.bench.relaying import Relay
from loadtests.bench.rounds import Rounds
from loadtests.bench.sweep import Sweep

EXCEEDED, VOID, USAGE = 99, 1, 64
LONGEST_SECONDS = 60.0  # longer runs say no more; more rounds do
SCENARIOS: tuple[Scenario, ...] = (Latency(), Idle(), Handshakes(), Beats(), Sweep())
COMPARED = "loadtests.compare"  # further contenders, as its CONTENDERS: a sequence of classes


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The benchmark's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [fanout.row.name for fanout in FANOUTS] + [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=float, help="of steady load in each fan-out, (3)")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"comma separated: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="one short round of everything, small")
    parser.add_argument(
        "--compare", nargs="?", const="all", default="", metavar="NAME,…", help="other systems beside ours"
    )
    parser.add_argument("--connections", type=int, help="idle at a time (15000)")
    parser.add_argument("--handshakes", type=int, help="of each kind and round (6000)")
    parser.add_argument("--machines", type=int, help="in Redis while it is swept (1000000)")
    parser.add_argument("--json", type=Path, help="also write the numbers into this file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of a result file")
    options = parser.parse_args(given)
    unknown = sorted(set(options.only or ()) - set(names))
    if unknown:
        parser.error(f"--only: unknown {', '.join(unknown)}; there are {', '.join(names)}")
    if options.seconds is not None and not 0 < options.seconds <= LONGEST_SECONDS:
        parser.error(f"--seconds: more than 0, at most {LONGEST_SECONDS:g}")
    return options


async def run(options: argparse.Namespace) -> int:
    """Measure and print, or print what an earlier run measured."""
    if options.table is not None:
        print(report.table(json.loads(options.table.read_text(encoding="utf-8"))))
        return 0
    unsupported = usage.supported()
    if unsupported is not None:
        print(f"relay: {unsupported}", file=sys.stderr)
        return USAGE
    plan = _plan(options)
    chosen = options.only
    rounds = Rounds(
        plan,
        [fanout for fanout in FANOUTS if chosen is None or fanout.row.name in chosen],
        [scenario for scenario in SCENARIOS if chosen is None or scenario.name in chosen],
    )
    about: dict[str, Any] = {"host": host.describe()}
    affinity.pin(plan.cores.generator)
    await rounds.run(_contenders(options))
    about["host"]["millionAdditionsPerCpuSecond"] = rounds.speeds
    about |= {"versions": rounds.versions or {"relay": Relay().versions}, "leftOut": rounds.left_out}
    about |= {"options": {"rounds": plan.rounds, "seconds": plan.seconds, "connections": plan.connections}}
    data = report.as_data(rounds.findings, about)
    if options.json is not None:
        report.write(options.json, data)
    return tell(data)


def tell(data: dict[str, Any]) -> int:
    """Print a result; the exit code that it deserves."""
    print(json.dumps({"host": data["host"], "versions": data["versions"], "options": data["options"]}, indent=2))
    print(*report.lines(data), sep="\n")
    for name, reason in data["leftOut"].items():
        print(f"not measured: {name}: {reason}")
    for line in data["missed"]:
        print(f"missed: {line}")
    for line in data["void"]:
        print(f"void: {line}")
    if data["void"]:
        return VOID
    return EXCEEDED if data["missed"] else 0


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    return Plan(
        cores=affinity.choose(),
        rounds=options.rounds or (1 if quick else 3),
        seconds=options.seconds or (1.0 if quick else 3.0),
        connections=options.connections or (1_000 if quick else 15_000),
        handshakes=options.handshakes or (1_000 if quick else 6_000),
        machines=options.machines or (50_000 if quick else 1_000_000),
    )


def _contenders(options: argparse.Namespace) -> list[Contender]:
    others: list[Contender] = []
    if options.compare:
        others.append(Plain())
        if find_spec(COMPARED) is not None:
            others += [kind() for kind in import_module(COMPARED).CONTENDERS]
    if options.compare not in ("", "all"):
        wanted = set(options.compare.split(","))
        others = [other for other in others if other.name in wanted]
        unknown = sorted(wanted - {other.name for other in others})
        if unknown:
            sys.exit(f"relay: --compare: unknown {', '.join(unknown)}")
    return [Relay(), *others]
