"""Commands a look at the times that a cluster keeps, and a change of them: `relay admin timing`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import click

from relay.cli.operating import told
from relay.cli.table import print_json, print_table

LOOK_SECONDS = 0.5
# The moment is five seconds after the choice, and a process says every five seconds what it keeps; one that has just
# died is listed for fifteen. Twice that and more is for a host that is busy.
KEPT_SECONDS = 45.0


@click.group(name="timing")
def command() -> None:
    """Show the times that the nodes and sweepers of a cluster keep, and change them while they run.

    What is chosen is kept in the registry, holds for whoever starts later, and is the same for all.
    """


@command.command(name="show", short_help="Show the times and what they can be.")
@click.option("--all", "everything", is_flag=True, help="Also those that cannot be changed.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def show(everything: bool, as_json: bool) -> None:
    """Show each time that can be changed, its value, and between what it can be changed."""
    from relay.registry import known_rhythm
    from relay.rules import timing
    from relay.rules.rhythm import RANGES, values
    from relay.uses import REGISTRY

    chosen = asyncio.run(known_rhythm(told(REGISTRY).database_url))
    kept, fixed = values(chosen.rhythm), timing.agreed()
    names = [*RANGES, *(name for name in fixed if name not in RANGES)] if everything or as_json else [*RANGES]
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "value": kept.get(name, fixed[name]),
            "default": fixed[name],
            "from": "chosen" if name in chosen.values else "default",
            "least": RANGES[name].least if name in RANGES else None,
            "most": RANGES[name].most if name in RANGES else None,
        }
        for name in names
    ]
    if as_json:
        print_json(revision=chosen.revision, times=rows)
        return
    table = []
    for row in rows:
        least, most = row["least"], row["most"]
        between = f"{least:g} to {most:g}" if least is not None else "fixed"
        meaning = RANGES[row["name"]].meaning if row["name"] in RANGES else ""
        table.append((row["name"], f"{row['value']:g}", row["from"], between, meaning))
    print_table(("NAME", "VALUE", "FROM", "CAN BE", "MEANING"), table)


@command.command(name="set", short_help="Change times while nodes run.")
@click.argument("times", metavar="NAME=SECONDS...", nargs=-1, required=True)
def change(times: tuple[str, ...]) -> None:
    """Change times on all nodes and sweepers at one moment, and wait until they keep them.

    NAME=default takes one back. What contradicts another time is refused, and so is what would contradict it for the
    seconds in which some know of the change and some do not. An agent of a version that does not know of this beats as
    before until it connects again.
    """
    from relay.uses import BOTH

    asyncio.run(_change(told(BOTH), times))


async def _change(settings: Any, words: tuple[str, ...]) -> None:
    from relay.errors import Misconfigured
    from relay.rules.rhythm import Chosen, contradictions, read, with_words

    wanted = read(words)
    async with _open(settings) as (registry, overlook, now_ms):
        before = await registry.rhythms.latest()
        values = with_words(before.values, wanted)
        wrong = contradictions(before.rhythm, Chosen(values=values).rhythm)
        if wrong:
            raise Misconfigured("; ".join(wrong))
        if values == before.values:
            click.echo("these are the times already")
            return
        _refuse_deaf(await overlook.look())
        chosen = await registry.rhythms.choose(before, values, await now_ms(), time.time_ns() // 1_000_000)
        await _follow(overlook, chosen.revision)
    for name in wanted:
        now, then = (chosen.get(name, _default(name)) for chosen in (values, before.values))
        click.echo(f"{name} is {now:g}, and was {then:g}")


async def _follow(overlook: Any, revision: int) -> None:
    """Wait until everybody keeps the choice, and say so of each."""
    from relay.errors import Unavailable

    give_up, said = time.monotonic() + KEPT_SECONDS, set()
    while True:
        kept = _kept(await overlook.look())
        for name, theirs in kept.items():
            if theirs == revision and name not in said:
                said.add(name)
                click.echo(f"{name} keeps them")
        missing = [name for name, theirs in kept.items() if theirs != revision]
        if not missing:
            if not kept:
                click.echo("nobody runs now; whoever starts keeps them")
            return
        if time.monotonic() > give_up:
            raise Unavailable(
                f"chosen, and not kept yet by {', '.join(missing)}: whoever reads the registry again keeps them"
            )
        await asyncio.sleep(LOOK_SECONDS)


def _refuse_deaf(found: Any) -> None:
    from relay.errors import Conflict

    deaf = [name for name, theirs in _kept(found).items() if theirs is None]
    if deaf:
        raise Conflict(
            f"of a version that cannot change its times while it runs: {', '.join(deaf)}; restart them as this version "
            "first"
        )


def _kept(found: Any) -> Mapping[str, int | None]:
    """The revision that each node and sweeper keeps, by its name."""
    from relay.store.operator import name

    kept: dict[str, int | None] = {name(node.lease): node.lease.rhythm for node in found.nodes}
    return kept | {f"the sweeper {sweeper.place}": sweeper.rhythm for sweeper in found.sweepers}


def _default(name: str) -> float:
    from relay.rules.rhythm import Rhythm, values

    return values(Rhythm())[name]


@asynccontextmanager
async def _open(settings: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """The registry, somebody who looks at the cluster, and the moment of a choice that is made now."""
    from relay.registry import Registry
    from relay.store import Keys, open_memory
    from relay.store.overview import Overlook
    from relay.store.rhythm import LEAD_SECONDS, now_ms

    registry = await Registry.open(settings.database_url)
    try:
        memory = open_memory(settings.redis_url)
        try:

            async def moment() -> int:
                return await now_ms(memory) + int(LEAD_SECONDS * 1000)

            yield registry, Overlook(memory, Keys(settings.redis_prefix)), moment
        finally:
            await memory.aclose()
    finally:
        await registry.close()
