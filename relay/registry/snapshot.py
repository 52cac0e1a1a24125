"""Reads a registry whole, as of one moment, and sums up what each of its tables holds."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry.database import Database
from relay.registry.failures import answering
from relay.registry.tables import metadata

BATCH_ROWS = 500  # read, written and inserted at once: some hundred kilobytes
TABLES: tuple[Table, ...] = tuple(metadata.sorted_tables)  # what others refer to comes first
NAMES = tuple(str(table.name) for table in TABLES)  # plain strings: SQLAlchemy's own kind is no JSON
_SUM = 2**256
_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


class Part(NamedTuple):
    """Some rows of one table, each a list of values in the order of `columns`."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


class Tally(Struct, frozen=True):
    """How many rows a table has, and the sum of their SHA-256: the same rows in any order have the same."""

    rows: int
    sha256: str


class Tallies:
    """Counts and sums rows as they pass."""

    def __init__(self) -> None:
        self._rows = dict.fromkeys(NAMES, 0)
        self._sums = dict.fromkeys(NAMES, 0)

    def add(self, table: str, lines: Iterable[bytes]) -> None:
        """Take rows into account, each as `encoded`."""
        for line in lines:
            self._rows[table] += 1
            self._sums[table] = (self._sums[table] + int.from_bytes(hashlib.sha256(line).digest())) % _SUM

    def result(self) -> dict[str, Tally]:
        """Every table's."""
        return {table: Tally(rows, f"{self._sums[table]:064x}") for table, rows in self._rows.items()}


def encoded(row: Sequence[Any]) -> bytes:
    """A row as one line of JSON, the same from either database."""
    return msgspec.json.encode(row)


@asynccontextmanager
async def one_moment(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction that sees one state of everything, while others go on writing. For tasks that nobody cancels;
    raises `RegistryUnavailable`."""
    async with database.read() as connection:
        if not database.sqlite:  # a transaction of SQLite's is that already
            await connection.execute(_ONE_MOMENT)
        yield connection


async def parts(connection: AsyncConnection, tables: Iterable[Table] = TABLES) -> AsyncIterator[Part]:
    """All rows of these tables, some at a time."""
    for table in tables:
        columns = tuple(map(str, table.columns.keys()))
        with answering():
            found = await connection.stream(select(table))
            async for rows in found.partitions(BATCH_ROWS):
                yield Part(str(table.name), columns, [list(row) for row in rows])


async def tallied(connection: AsyncConnection) -> dict[str, Tally]:
    """What every table holds."""
    tallies = Tallies()
    async for part in parts(connection):
        tallies.add(part.table, map(encoded, part.rows))
    return tallies.result()


def differences(wanted: Mapping[str, Tally], found: Mapping[str, Tally]) -> list[str]:
    """Tables whose content is not the same, each as a few words."""
    nothing = Tally(0, f"{0:064x}")
    return [
        f"{table} has {found.get(table, nothing).rows} rows, and {tally.rows} were expected"
        if found.get(table, nothing).rows != tally.rows
        else f"{table} has other rows than expected"
        for table, tally in wanted.items()
        if found.get(table, nothing) != tally
    ]
