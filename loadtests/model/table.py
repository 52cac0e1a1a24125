"""Writes the README's sizing table, and what the model says of one fleet, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.model.costs import Costs
from loadtests.model.fleet import Fleet
from loadtests.model.points import Checked
from loadtests.model.sizing import Sizing, size
from loadtests.model.walls import Wall, walls
from loadtests.report.axis import short

BEGIN, END = "<!-- sizing: begin -->", "<!-- sizing: end -->"
FLEETS = tuple(Fleet(machines, machines // 10) for machines in (1_000, 10_000, 100_000, 1_000_000))


class Unmarked(Exception):
    """The file has no place for the table."""


def table(costs: Costs, checked: Sequence[Checked]) -> str:
    """Fleets of four sizes, and what was assumed."""
    sized = [size(fleet, costs) for fleet in FLEETS]
    head = ["", *(f"{fleet.machines:,} machines, {fleet.browsers:,} browsers" for fleet in FLEETS)]
    rows = [head, ["---"] * len(head), *zip(*[_column(sizing, walls(sizing, costs)) for sizing in sized], strict=True)]
    for number, name in enumerate(ROWS, 2):
        rows[number] = [name, *rows[number]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _assumed(FLEETS[0]), "", _errors(checked)])


def replaced(path: Path, text: str) -> str:
    """A file with this table between its marks; raises `Unmarked`."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Unmarked(f"{path}: there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


ROWS = (
    "nodes (a process and a core each)", "decided by", "of their processors, on a day", "most of it for",
    "memory of a node",
    "Redis primaries (and a replica each)", "of their processors", "memory of Redis in all",
    "HAProxy or the like, connections each", "PostgreSQL: rows, connections", "traffic of nodes in all",
    "a lost zone is back in", "gives way first",
)  # fmt: skip


def _column(sizing: Sizing, near: Sequence[Wall]) -> list[str]:
    return [
        str(sizing.nodes),
        sizing.needs[0].what,
        f"{sizing.node_cores / sizing.nodes:.0%}",
        f"{sizing.node_work[0][0]}, {sizing.node_work[0][1]:.0%}",
        short(sizing.node_bytes, "B"),
        str(sizing.redis),
        f"{sizing.redis_cores / sizing.redis:.0%}",
        short(sizing.redis_bytes, "B"),
        f"{sizing.proxies}, {sizing.proxy_sockets:,.0f}",
        f"{short(sizing.sql_bytes, 'B')}, {sizing.sql_connections:,}",
        _bits(sizing.network_bits),
        f"{sizing.returning_seconds:.1f} s",
        f"{near[0].what}{_at(near[0].times)}",
    ]


def _at(times: float) -> str:
    return f", at {times:.2g} times the fleet" if times >= 1 else ": raise the limit first"


def lines(sizing: Sizing, near: Sequence[Wall]) -> list[str]:
    """One fleet for a terminal."""
    fleet = sizing.fleet
    told = [
        f"{sizing.nodes} nodes in {fleet.zones} zones, {sizing.left} of which are left when one is lost",
        *(f"    {need.nodes:>6,}  {need.what}: {need.why}" for need in sizing.needs),
        f"    {sizing.node_cores / sizing.nodes:.0%} busy on a day, {short(sizing.node_bytes, 'B')} each "
        f"and {short(sizing.kernel_bytes, 'B')} of the kernel's for sockets",
        f"    of what they compute on a day: {', '.join(f'{part:.0%} {name}' for name, part in sizing.node_work[:3])}",
        f"    everybody of a lost zone is back in {sizing.returning_seconds:.1f} s of processor time, beside jitter",
        f"{sizing.redis} Redis primaries, each with a replica in another zone: {sizing.redis_why}",
        f"    {sizing.redis_cores / sizing.redis:.0%} busy on a day, {short(sizing.redis_bytes, 'B')} in all, "
        f"{_bits(sizing.redis_bits)}",
        f"{sizing.proxies} proxies of {sizing.proxy_sockets:,.0f} connections",
        f"PostgreSQL: about {short(sizing.sql_bytes, 'B')}, {sizing.sql_queries:,.0f} transactions a second, "
        f"up to {sizing.sql_connections:,} connections",
        f"network: {_bits(sizing.network_bits)} at all nodes, both ways",
        "what gives way first as the fleet grows:",
        *(f"    at {wall.times:>8,.2g} times  {wall.what}: {wall.then}" for wall in near),
    ]
    if near[0].times < 1:
        told.append(f"not as it is: {near[0].what} do not suffice for this fleet; {near[0].then}")
    return told


def data(sizing: Sizing, near: Sequence[Wall]) -> dict[str, Any]:
    """One fleet for programs."""
    return {**asdict(sizing), "walls": [asdict(wall) for wall in near]}


def checks(checked: Sequence[Checked]) -> list[str]:
    """Predictions beside what was measured."""
    told = [f"{'predicted':>12} {'measured':>12} {'error':>7}"]
    for one in checked:
        predicted, measured = _both(one)
        told.append(f"{predicted:>12} {measured:>12} {one.error:>+7.0%}  {one.point.what}")
    return told


def _assumed(fleet: Fleet) -> str:
    return (
        f"Assumed: half as many talking sessions as browsers, each with {fleet.watchers:g} attachments, "
        f"{fleet.frames:g} frames a second of {fleet.frame_bytes:g} bytes and {fleet.inputs:g} input; "
        f"{fleet.workspace_machines} machines in a workspace, {fleet.changes:g} changes of a machine and "
        f"{fleet.lists:g} lists of a browser an hour, each browser following a team at any node; "
        f"{fleet.zones} zones, one of which may be lost, "
        f"{fleet.headroom:.0%} of every processor free until then, everybody back in {fleet.return_seconds:g} s, "
        f"{fleet.database_connections} connections to PostgreSQL. No TLS at nodes. Bytes in SQL and what a proxy holds "
        "are estimates; the rest comes from measurements."
    )


def _errors(checked: Sequence[Checked]) -> str:
    rows = ["| predicted beside what was measured | predicted | measured | error |", "| --- | --- | --- | --- |"]
    for one in checked:
        predicted, measured = _both(one)
        rows.append(f"| {one.point.what} | {predicted} | {measured} | {one.error:+.0%} |")
    return "\n".join(rows)


def _both(one: Checked) -> tuple[str, str]:
    unit = "B" if one.point.unit == "bytes" else "CPU-s"
    return short(one.predicted, unit), short(one.point.measured, unit)


def _bits(value: float) -> str:
    """Bits a second."""
    text = short(value)
    return f"{text[:-1]} {text[-1]}bit/s" if text[-1].isalpha() else f"{text} bit/s"
