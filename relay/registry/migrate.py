"""Brings a registry's schema to what this code expects, and refuses one that is newer."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Misconfigured, RegistryUnavailable
from relay.registry.charter import refuse_moved
from relay.registry.database import PATIENT_SECONDS, Database
from relay.registry.failures import as_owner

HEAD = "0003"  # the newest file in migrations/versions; revisions are numbers, so that newer is simply greater
MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x72656C6179  # "relay": PostgreSQL knows locks by number
WAL_ATTEMPTS = 50  # SQLite does not queue those who switch a new file to WAL at once: they ask again
WAL_RETRY_SECONDS = 0.1
FILE_MODE = 0o600


async def migrate(url: str) -> None:
    """Upgrade the registry at `url`, creating it if need be. Any number of processes may do so at once. Raises
    `Misconfigured` if the registry was made by newer code or this user may not upgrade it, `RegistryUnavailable` if the
    database does not answer."""
    database = Database(url, answer_seconds=PATIENT_SECONDS)  # others may be migrating: they are waited for
    try:
        if database.sqlite:
            await asyncio.to_thread(_use_wal, str(database.url.database))
        with as_owner(f"bring its tables to version {HEAD} (relay admin bootstrap does)"):
            await database.attempt(lambda connection: _migrate(connection, database.sqlite))
    finally:
        await database.close()


async def _migrate(connection: AsyncConnection, sqlite: bool) -> None:
    if not sqlite:  # SQLite's BEGIN IMMEDIATE keeps the others waiting already
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    found = await _version(connection)
    if found != HEAD:
        _refuse_newer(found)
        await connection.run_sync(_upgrade)


async def check_version(database: Database) -> None:
    """Raise `Misconfigured` unless the schema is exactly the one that this code expects, and the registry is here and
    was not moved away."""
    found = await database.ask(_version)
    _refuse_newer(found)
    if found != HEAD:
        raise Misconfigured(
            f"the registry is at version {found or 'none'} and this code needs {HEAD}: migrate it first"
        )
    await database.ask(refuse_moved)


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > HEAD:
        raise Misconfigured(
            f"the registry was made by a newer Relay: it is at version {found} and this code knows {HEAD}; "
            "install the newer Relay here"
        )


async def _version(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    found = await connection.execute(text("SELECT version_num FROM alembic_version"))
    version: str | None = found.scalar_one_or_none()
    return version


def _upgrade(connection: Connection) -> None:
    # Imported here: a start on an up-to-date registry, which is nearly every start, never needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _use_wal(path: str) -> None:
    """WAL is a property of the file: readers never wait for a writer, nor a writer for readers. A new file is its
    owner's alone, for there are hashes of tokens in it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    except OSError as error:
        raise Misconfigured(f"RELAY_DATABASE_URL names {path}, which cannot be used: {error.strerror}") from None
    for _ in range(WAL_ATTEMPTS):
        try:
            with closing(sqlite3.connect(path, timeout=WAL_RETRY_SECONDS)) as connection:
                if connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",):
                    return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise Misconfigured(f"RELAY_DATABASE_URL names {path}, which cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            raise Misconfigured(f"RELAY_DATABASE_URL names {path}, which is no registry: {error}") from None
        time.sleep(WAL_RETRY_SECONDS)
    raise RegistryUnavailable("the registry's file cannot be switched to write-ahead logging")
