"""A run that is over, judged or drawn once more from its summary.json: by other thresholds, or as a page.

Exit code 0 if the run held, 99 if a threshold was exceeded, 1 if a frame was lost, repeated or out of order, 64 if a
threshold or the file cannot be read. Without thresholds, those that the summary was judged by are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.report import options
from loadtests.report.summary import Unreadable, read


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="the summary.json of a run")
    options.add(parser)
    return parser.parse_args(given)


async def run(given: argparse.Namespace) -> int:
    """Judge it, draw it, say how it ended."""
    try:
        summary = read(given.file)
    except Unreadable as error:
        print(f"relay: {error}", file=sys.stderr)
        return options.USAGE
    if not given.threshold and not given.thresholds:
        given.threshold = [judged.text for judged in summary.thresholds]
    thresholds = options.read(given, summary.latencies, [server.name for server in summary.servers])
    return options.finish(summary, given, thresholds)
