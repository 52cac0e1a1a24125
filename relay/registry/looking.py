"""Looks at a registry from outside and changes nothing: whether it answers, of which version it is, and which one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from relay.errors import Misconfigured
from relay.registry import charter
from relay.registry.charter import Charter
from relay.registry.database import Database
from relay.registry.migrate import HEAD, check_version
from relay.registry.rhythms import Rhythms
from relay.rules.rhythm import Chosen


async def version(url: str) -> str:
    """A sentence about a registry that is fit to be used; raises `Misconfigured` or `RegistryUnavailable` for one that
    is not."""
    database = _open(url)
    try:
        await check_version(database)
        query = "SELECT 'SQLite ' || sqlite_version()" if database.sqlite else "SHOW server_version"
        rows = await database.rows(text(query))
        name = "" if database.sqlite else "PostgreSQL "
        return f"the registry is at version {HEAD}, in {name}{rows[0][0]}"
    finally:
        await database.close()


async def known_charter(url: str) -> Charter | None:
    """Which registry this is, if it knows; raises as `version` does."""
    database = _open(url)
    try:
        await check_version(database)
        return await charter.known(database)
    finally:
        await database.close()


async def known_rhythm(url: str) -> Chosen:
    """The times that an operator chose; raises as `version` does."""
    database = _open(url)
    try:
        await check_version(database)
        return await Rhythms(database).latest()
    finally:
        await database.close()


def _open(url: str) -> Database:
    database = Database(url)
    path = str(database.url.database)
    if database.sqlite and not Path(path).exists():  # to connect would make it
        raise Misconfigured(f"there is no registry at {path} yet: relay admin bootstrap makes it")
    return database
