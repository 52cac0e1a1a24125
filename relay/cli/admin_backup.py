"""Commands a backup of the registry: `relay admin backup`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from relay.cli.operating import told


@click.command(name="backup")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Write the whole registry into FILE as of one moment, while nodes run.

    The file is the same from SQLite and from PostgreSQL, checks itself, and is 0600: it holds hashes of tokens, and no
    token. It does not hold RELAY_SECRET, without which nobody's token is known again: keep that somewhere else.
    """
    from relay.registry import back_up
    from relay.rules.quoting import escape
    from relay.uses import REGISTRY

    settings = told(REGISTRY)
    written = asyncio.run(back_up(settings.database_url, file, time.time_ns() // 1_000_000))
    rows = sum(tally.rows for tally in written.tallies.values())
    machines, people = written.tallies["machines"].rows, written.tallies["people"].rows
    click.echo(
        f"{escape(str(file))}: {rows} rows in {written.bytes} bytes, among them {machines} machines and {people} people"
    )
