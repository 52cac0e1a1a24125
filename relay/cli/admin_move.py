"""Commands a registry to another database: `relay admin migrate-to`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from relay.cli.operating import told


@click.command(name="migrate-to")
@click.argument("url", required=False)
@click.option("--url-file", metavar="PATH", help="A file that holds the URL, which may have a password in it then.")
@click.option("--force", is_flag=True, help="Also while nodes or sweepers run; they can write no more.")
def command(url: str | None, url_file: str | None, force: bool) -> None:
    """Move the registry at RELAY_DATABASE_URL to the database at URL, such as from SQLite to PostgreSQL.

    Every table is compared after the copy, by its rows and a checksum. Then the old registry is closed for good, and
    nodes are to be started with RELAY_DATABASE_URL=URL.
    """
    from relay.uses import BOTH

    if (url is None) == (url_file is None):
        raise click.UsageError("name the other database by URL or --url-file, one of them")
    if url is not None and _may_be_secret(url):
        raise click.UsageError(
            "everybody on this machine can see the arguments of a command, and this URL has a password in it: "
            "write it into a file and name that with --url-file"
        )
    asyncio.run(_move(told(BOTH), url if url is not None else _read(str(url_file)), force))


async def _move(settings: Any, url: str, force: bool) -> None:
    from relay.cli.running import refuse_while_running
    from relay.registry import move

    if not force:
        await refuse_while_running(settings, "moving its registry")
    tallies = await move(settings.database_url, url, time.time_ns() // 1_000_000)
    for table, tally in tallies.items():
        click.echo(f"{table}: {tally.rows} rows, {tally.sha256[:16]}")
    click.echo(
        "moved and compared; the old registry is closed: set RELAY_DATABASE_URL of nodes and sweepers to the new"
    )


def _may_be_secret(url: str) -> bool:
    from relay.errors import Misconfigured
    from relay.registry.database import checked
    from relay.urls import SHOWN_OPTIONS

    try:
        parsed = checked(url)
    except Misconfigured as error:
        raise Misconfigured(error.message.replace("RELAY_DATABASE_URL", "the URL of the other database")) from None
    return parsed.password is not None or not parsed.query.keys() <= SHOWN_OPTIONS


def _read(path: str) -> str:
    from relay.errors import Misconfigured

    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
