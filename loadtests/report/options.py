"""Offers what every scenario takes on the command line for its report, and ends a run: judged, written, told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from loadtests.report import verdict
from loadtests.report.page import page
from loadtests.report.summary import EXIT_CODES, Summary, concluded, write
from loadtests.report.thresholds import Refused, Threshold, judge, thresholds

USAGE = 64


def add(parser: argparse.ArgumentParser) -> None:
    """Add --summary, --report, --threshold, --thresholds and --quiet."""
    group = parser.add_argument_group("report")
    group.add_argument("--summary", type=Path, metavar="FILE", help="write summary.json here")
    group.add_argument("--report", type=Path, metavar="FILE", help="write the page, one file of HTML, here")
    group.add_argument(
        "--threshold", action="append", default=[], metavar="TEXT", help="such as 'delivery.p99 < 250ms'; repeatable"
    )
    group.add_argument(
        "--thresholds", action="append", default=[], type=Path, metavar="FILE", help="a file of them, one a line"
    )
    group.add_argument("--quiet", action="store_true", help="no live display; the verdict only")


def read(options: argparse.Namespace, latencies: Collection[str], servers: Collection[str] = ()) -> list[Threshold]:
    """The thresholds that were given; exits with 64 before any load is made if one of them cannot be judged, or if
    nothing could be written where it was asked for."""
    try:
        found = thresholds(options.threshold, options.thresholds, latencies, servers)
    except Refused as error:
        print(*(f"relay: threshold {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        raise SystemExit(USAGE) from error
    for path in (options.summary, options.report):
        if path is not None and not path.absolute().parent.is_dir():
            print(f"relay: {path}: there is no such folder", file=sys.stderr)
            raise SystemExit(USAGE)
    return found


def finish(summary: Summary, options: argparse.Namespace, given: Sequence[Threshold]) -> int:
    """Judge the run, write what was asked for, print the verdict; the exit code: 0 held, 99 exceeded, 1 void."""
    done = concluded(summary, judge(given, summary))
    if options.summary is not None:
        write(options.summary, done)
    if options.report is not None:
        options.report.write_text(page(done), encoding="utf-8")
    print(*verdict.lines(done), sep="\n")
    return EXIT_CODES[done.verdict]
