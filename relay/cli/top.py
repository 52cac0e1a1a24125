"""Shows a cluster in the terminal: its nodes and sweepers, what each carries and how each fares, again and again."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from relay.cli.operating import told
from relay.cli.table import NOTHING, age, print_json
from relay.rules.quoting import escape

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

SHORT_CHARACTERS = 8  # of an id, as in `relay node list`
SHORTEST_SECONDS = 0.5  # between two looks; processes report every five
PIPED_CHARACTERS = 200  # of a line in a file or a pipe: nothing is cut short
SLOW_SECONDS = 0.1  # of lag or of the bus: shown in another color
STALLED_SECONDS = 30.0  # without a round of a sweeper
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@click.command(name="top", short_help="Watch the nodes and sweepers of the cluster.")
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs; implies --once.")
@click.option("--every", "seconds", default=2.0, show_default=True, type=click.FloatRange(SHORTEST_SECONDS, 60.0),
              help="Seconds between two looks.")  # fmt: skip
def command(once: bool, as_json: bool, seconds: float) -> None:
    """Watch the nodes and sweepers of the cluster: sockets, frames, lag, readiness.

    It reads the cluster's Redis, with the same RELAY_* variables as a node. Processes report every five seconds.
    """
    asyncio.run(_show(once=once or not sys.stdout.isatty(), as_json=as_json, seconds=seconds))


async def _show(*, once: bool, as_json: bool, seconds: float) -> None:
    from relay.store.overview import open_overlook
    from relay.uses import MEMORY

    settings = told(MEMORY)
    async with open_overlook(settings.redis_url, settings.redis_prefix) as overlook:
        if as_json:
            print_json(**fields(await overlook.look()))
            return
        from rich.console import Console

        if once:
            width = None if sys.stdout.isatty() else PIPED_CHARACTERS
            Console(width=width).print(picture(await overlook.look(), time.time()))
            return
        await _watch(overlook, seconds)


async def _watch(overlook: Any, seconds: float) -> None:
    """Look again and again until Ctrl-C; a Redis that does not answer is said and waited for."""
    from rich.live import Live
    from rich.text import Text

    from relay.errors import Unavailable

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            try:
                live.update(picture(await overlook.look(), time.time()), refresh=True)
            except Unavailable as error:
                live.update(Text(f"relay: {error.message}", style="bold red"), refresh=True)
            await asyncio.sleep(seconds)


def fields(overview: Any) -> dict[str, Any]:
    """The same for programs."""
    import msgspec

    nodes = []
    for line in overview.nodes:
        said = msgspec.to_builtins(line.report) if line.report is not None else {}
        lease = {"id": line.lease.boot, "url": line.lease.url, "startedMs": line.lease.started_ms}
        counts = {"agents": line.lease.agents, "browsers": line.lease.browsers}
        said = {name: value for name, value in said.items() if name not in ("type", "id")}
        nodes.append({**lease, **counts, **said, "ready": not line.reasons, "reasons": line.reasons})
    sweepers = [msgspec.to_builtins(report) for report in overview.sweepers]
    return {
        "nodes": nodes,
        "sweepers": [{name: each[name] for name in each if name != "type"} for each in sweepers],
    }


def picture(overview: Any, now: float) -> Group:
    """The whole screen; `now` in Unix seconds."""
    from rich.console import Group
    from rich.text import Text

    ready = sum(not line.reasons for line in overview.nodes)
    reports = [line.report for line in overview.nodes if line.report is not None]
    agents = sum(line.lease.agents for line in overview.nodes)
    browsers = sum(line.lease.browsers for line in overview.nodes)
    frames = sum(report.frames_per_second for report in reports)
    sent = sum(report.bytes_per_second for report in reports)
    drift = sum(report.drift for report in reports)
    head = Text.assemble(
        ("relay", "bold"), f"  {time.strftime('%H:%M:%SZ', time.gmtime(now))}   ",
        (f"{ready} of {len(overview.nodes)} nodes ready", "green" if ready == len(overview.nodes) else "bold yellow"),
        f"   machines {agents}   people {browsers}   {short(frames)} frames/s   {short(sent)}B/s",
        (f"   presence drift {drift}" if drift else "", "bold yellow"),
    )  # fmt: skip
    parts: list[RenderableType] = [head, Text(), _nodes(overview.nodes, now), Text(), _sweepers(overview, now)]
    return Group(*parts)


def _table(*columns: tuple[str, bool]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for title, right in columns:
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    return table


def _nodes(lines: list[Any], now: float) -> RenderableType:
    from rich.text import Text

    if not lines:
        return Text("no node lives", style="bold red")
    table = _table(
        ("NODE", False), ("PLACE", False), ("STATE", False), ("MACHINES", True), ("PEOPLE", True), ("FRAMES/S", True),
        ("BYTES/S", True), ("LAG", True), ("BUS", True), ("CPU", True), ("MEMORY", True), ("VERSION", False),
        ("UP", True),
    )  # fmt: skip
    for line in lines:
        report = line.report
        cells: list[str | Text] = [NOTHING] * 7
        if report is not None:
            cells = [
                short(report.frames_per_second), short(report.bytes_per_second), _seconds(report.lag_seconds),
                Text("deaf", style="bold red") if report.bus_seconds is None else _seconds(report.bus_seconds),
                f"{report.cpu:.0%}", short(report.memory_bytes), _said(report.version),
            ]  # fmt: skip
        state = Text(escape(" ".join(line.reasons)) or "ready", style="yellow" if line.reasons else "green")
        table.add_row(
            _said(line.lease.boot[:SHORT_CHARACTERS]), _said(line.lease.url if report is None else report.place), state,
            str(line.lease.agents), str(line.lease.browsers), *cells, age(now - line.lease.started_ms / 1000),
        )  # fmt: skip
    return table


def _sweepers(overview: Any, now: float) -> RenderableType:
    from rich.text import Text

    if not overview.sweepers:
        return Text("no sweeper runs: nobody is told who falls silent", style="bold red")
    table = _table(
        ("SWEEPER", False), ("PLACE", False), ("STATE", False), ("LAST ROUND", True), ("TOLD/S", True), ("CPU", True),
        ("MEMORY", True), ("VERSION", False), ("UP", True),
    )  # fmt: skip
    for report in overview.sweepers:
        table.add_row(
            _said(report.id[:SHORT_CHARACTERS]), _said(report.place), _sweeping(report), age(report.age_seconds),
            short(report.told_per_second), f"{report.cpu:.0%}", short(report.memory_bytes), _said(report.version),
            age(now - report.started_ms / 1000),
        )  # fmt: skip
    return table


def _sweeping(report: Any) -> Text:
    from rich.text import Text

    if report.age_seconds > STALLED_SECONDS:
        return Text("waits", style="bold red")
    return Text("behind", style="yellow") if report.behind else Text("sweeps", style="green")


def _said(words: str) -> Text:
    """What a process says of itself, as it stands: in a plain string brackets would be markup, as of [fe80::1]."""
    from rich.text import Text

    return Text(escape(words))


def _seconds(value: float) -> Text:
    from rich.text import Text

    return Text(f"{value * 1000:.1f}ms", style="bold yellow" if value > SLOW_SECONDS else "")


def short(number: float) -> str:
    """A number in three digits and a unit, such as 940, 1.2k or 38M."""
    for size, unit in UNITS:
        if number >= size:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
