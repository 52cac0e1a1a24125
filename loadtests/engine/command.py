"""Runs one scenario from the command line: options, a relay, processes that load it, and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from loadtests.bench import guests, host
from loadtests.bench.relaying import Relay
from loadtests.engine.account import LATENCIES, in_total
from loadtests.engine.crowd import Crowd, Parts, crowd
from loadtests.engine.population import populate
from loadtests.engine.run import Run
from loadtests.engine.scenario import Scenario, Size
from loadtests.engine.target import Wanted, check, target
from loadtests.engine.watch import Watch
from loadtests.report import options as reporting
from loadtests.report import summary as report
from loadtests.report.progress import Progress
from loadtests.report.summary import Process, Summary
from loadtests.report.thresholds import Threshold, thresholds
from relay.errors import Exit, RelayError

TELL_MACHINES = 1_000  # are registered between two words about it; a multiple of those under way
GENERATORS = 2  # processes that play the peers


class Command:
    """A scenario as `python -m loadtests` runs it."""

    def __init__(self, scenario: Scenario) -> None:
        self.__doc__ = sys.modules[type(scenario).__module__].__doc__
        self._scenario = scenario

    def arguments(self, given: Sequence[str]) -> argparse.Namespace:
        """The options of every scenario, and the sizes of this one."""
        scenario = self._scenario
        parser = argparse.ArgumentParser(
            prog=f"python -m loadtests {scenario.name}", description=self.__doc__, epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        where = parser.add_argument_group("relay")
        where.add_argument("--url", type=_words, default=[], metavar="URL,…", help="of a relay that runs already")
        where.add_argument("--token-file", type=Path, metavar="FILE", help="a personal token or workspace key for it")
        where.add_argument("--i-own-this", action="store_true", help="it is not on this machine, and you may load it")
        where.add_argument("--metrics", type=_words, default=[], metavar="URL,…", help="where its nodes serve /metrics")
        where.add_argument("--nodes", type=int, default=scenario.nodes, help=f"of its own cluster ({scenario.nodes})")
        load = parser.add_argument_group("load")
        load.add_argument("--seed", type=int, default=1, help="of everything random (1)")
        load.add_argument("--seconds", type=float, default=scenario.seconds, help=f"of traffic ({scenario.seconds:g})")
        load.add_argument("--scale", type=float, default=1.0, help="multiplies sizes marked * that are not given (1)")
        load.add_argument("--generators", type=int, default=GENERATORS, help=f"processes that load it ({GENERATORS})")
        for size in scenario.sizes:
            star = "*" if size.scaled else ""
            meaning = f"{size.meaning} ({size.default:g}){star}"
            load.add_argument(f"--{size.name}", type=_count if size.counted else _amount, help=meaning, metavar="N")
        reporting.add(parser)
        options = parser.parse_args(given)
        if options.seconds <= 0 or options.scale <= 0 or options.generators < 1 or options.nodes < 1:
            parser.error("--seconds, --scale, --generators and --nodes are more than 0")
        return options

    async def run(self, options: argparse.Namespace) -> int:
        """Run it; 0 if everything held, 99 if a threshold was exceeded, 1 if a frame was lost, repeated or swapped.
        What kept it from being run to its end is one sentence."""
        scenario = self._scenario
        wanted = check(
            Wanted(options.url, options.token_file, options.i_own_this, options.metrics, options.nodes, scenario.told)
        )
        given = self._thresholds(options, wanted)
        guests.allow_open_files()
        try:
            found = await self._loaded(options, wanted)
        except RelayError as error:
            print(f"relay: {error.message}", file=sys.stderr)
            return int(error.exit)
        except (ChildProcessError, TimeoutError) as error:
            print(f"relay: the load was not carried to its end: {error or 'a node did not come back'}", file=sys.stderr)
            return int(Exit.UNAVAILABLE)
        return reporting.finish(found, options, given)

    async def _loaded(self, options: argparse.Namespace, wanted: Wanted) -> Summary:
        """The relay, its peers, and what happens to them."""
        scenario, sizes = self._scenario, _sizes(self._scenario.sizes, options)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        async with AsyncExitStack() as stack:
            progress = stack.enter_context(Progress(time.monotonic, quiet=options.quiet))
            at = await stack.enter_async_context(target(wanted))
            kinds = scenario.machines(sizes), scenario.people(sizes)
            everybody = await populate(at, *kinds, scenario.workspaces(sizes), _registered(options.quiet))
            parts = Parts(at.urls, everybody.seats, everybody.chairs, removes=not at.own, local=at.local)
            playing = await stack.enter_async_context(crowd(parts, options.generators, options.seed))
            began = time.monotonic()
            playing.begin(began)
            run = Run(scenario.name, sizes, options.seconds, at, playing, began, progress)
            found = await self._played(run)
        found.seed, found.started = options.seed, started
        found.parameters = {
            **sizes,
            "scale": options.scale,
            "generators": options.generators,
            "seconds": run.seconds,
        }
        return found

    def _thresholds(self, options: argparse.Namespace, wanted: Wanted) -> list[Threshold]:
        servers = [f"node-{number + 1}" for number in range(len(wanted.urls) or wanted.nodes)]
        servers += [] if wanted.urls else ["engine", "sweeper", "sweeper-2"]
        own = thresholds(list(self._scenario.thresholds), [], LATENCIES, servers)
        return [*own, *reporting.read(options, LATENCIES, servers)]

    async def _played(self, run: Run) -> Summary:
        """Everything from the first connection to the last, watched."""
        watch = Watch(run.target, run.began)
        watching = asyncio.create_task(watch.look_often())
        try:
            await self._scenario.play(run)
            await run.crowd.order("count")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        servers = await watch.finish()
        return summed(run, watch, servers)


def summed(run: Run, watch: Watch, servers: list[Process]) -> Summary:
    """What a run found."""
    account, seconds = run.account, run.passed
    totals = account.totals()
    totals.update(run.missing)
    violations = list(run.violations)
    if totals["changed"]:
        violations.append(f"{totals['changed']:,} frames arrived changed")
    notes = list(run.notes)
    for what in ("errors", "refused"):
        notes += [f"{what}: {count:,} × {sentence}" for sentence, count in account.named(what).most_common(10)]
    generators = _generators(run.crowd)
    spent = sum(one.cpu_seconds or 0.0 for one in generators)
    notes.append(f"the load took {spent:.1f} CPU-seconds in {len(generators)} processes{_beside(servers)}")
    return Summary(
        scenario=run.scenario,
        seed=0,
        started="",
        seconds=round(seconds, 3),
        target=report.Target(run.target.urls, run.target.own),
        host=host.describe(),
        versions=Relay().versions,
        totals=in_total(totals),
        latencies=account.latencies(),
        closes=account.closes(),
        series=account.series(watch.rows),
        servers=servers,
        generators=generators,
        phases=run.phases,
        violations=violations,
        notes=notes,
        details={"operations": dict(sorted(account.named("begun").items())), **run.details},
    )


def _generators(playing: Crowd) -> list[Process]:
    return [
        Process(f"generator-{index + 1}", round(used.cpu_seconds, 3), used.rss_max_bytes)
        for index, used in sorted(playing.used.items())
    ]


def _beside(servers: Sequence[Process]) -> str:
    seen = [one.cpu_seconds for one in servers if one.cpu_seconds is not None]
    return f", the servers {sum(seen):.1f}" if seen else ""


def _sizes(sizes: Sequence[Size], options: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    for size in sizes:
        given = getattr(options, size.name.replace("-", "_"))
        value = size.default * (options.scale if size.scaled else 1) if given is None else given
        found[size.name] = max(1, round(value)) if size.counted and size.default else value
    return found


def _registered(quiet: bool) -> Callable[[int], None]:
    """Tells now and then how far registration is."""

    def tell(machines: int) -> None:
        if not quiet and machines % TELL_MACHINES == 0:
            print(f"load: {machines:,} machines are registered", file=sys.stderr)

    return tell


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("not less than 0")
    return value


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("not less than 0")
    return value


EPILOG = """Exit code 0: everything held; 99: a threshold was exceeded; 1: a frame was lost, repeated, changed or
swapped, so that times say nothing; 64: it was asked for something that cannot be done."""
