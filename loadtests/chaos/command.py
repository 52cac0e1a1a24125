"""Everything that can happen to a cluster, at random, under load, with every promise checked: chaos.

Starts three nodes behind proxies, two sweepers, Redis, machines with sessions that talk, and browsers that watch and
type, and then does one or two faults at a time to them: nodes are killed, frozen and drained; networks forget, hold,
delay and cut; Redis is flushed, restarted, paused, full, slow or deaf; the registry is locked. Meanwhile sessions end
and begin, machines are renamed and revoked. The same seed is the same plan of faults. Prints a line for each step and
what came of it; exit code 99 if a promise was broken, or a threshold exceeded.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loadtests.report import options as reporting

BROKEN = 99


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The scenario's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--json", type=Path, help="also write what was found of each fault into this file")
    parser.add_argument("--plan", type=int, metavar="STEPS", help="print so many steps of the plan and do nothing")
    reporting.add(parser)
    return parser.parse_args(given)


async def run(options: argparse.Namespace) -> int:
    """Run it and print what came of it."""
    # Only now: the harness needs what is installed for tests, which other scenarios do without.
    from loadtests.chaos import report
    from loadtests.chaos.plan import steps
    from loadtests.chaos.storm import NODES, storm

    if options.plan:
        for step, _ in zip(steps(options.seed, NODES), range(options.plan), strict=False):
            print(f"{step.number:>4} {step} for {step.seconds:.1f} s {step.beside}")
        return 0
    given = reporting.read(options, report.LATENCIES)
    began, begin = datetime.datetime.now(datetime.UTC), time.monotonic()

    def say(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr, flush=True)

    found, took = await storm(options.seed, options.minutes, say)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    summary = report.as_summary(found, took, time.monotonic() - begin, began)
    code = reporting.finish(summary, options, given)
    return BROKEN if found["violations"] else code
