"""Fills an empty registry with rows from elsewhere, and compares what is there then with what was read."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, exc, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Conflict, Misconfigured
from relay.registry.failures import sqlstate
from relay.registry.snapshot import TABLES, Part, Tally, differences, tallied

FILLED = ("people", "workspaces", "credentials", "machines", "changes", "audit")  # a registry in use has rows here
_DATA_STATES = "22"  # how the numbers of all complaints about values begin
_BY_NAME = {table.name: table for table in TABLES}
# PostgreSQL counts the audit trail beside the table, and did not see rows that brought their numbers with them.
_NEXT_ENTRY = text(
    "SELECT setval(pg_get_serial_sequence('audit', 'number'), (SELECT coalesce(max(number), 0) + 1 FROM audit), false)"
)


async def refuse_filled(connection: AsyncConnection) -> None:
    """Raise `Conflict` unless nobody ever used this registry."""
    for name in FILLED:
        if (await connection.execute(select(text("1")).select_from(_BY_NAME[name]).limit(1))).first() is not None:
            raise Conflict(f"the registry at RELAY_DATABASE_URL is not empty: it has {name}")


async def empty(connection: AsyncConnection) -> None:
    """Take every row away, those included that the schema makes."""
    for table in reversed(TABLES):
        await connection.execute(delete(table))


async def insert_part(connection: AsyncConnection, part: Part) -> None:
    """Add some rows of one table; raises `Misconfigured` for rows that cannot be."""
    rows = [dict(zip(part.columns, row, strict=True)) for row in part.rows]
    try:
        await connection.execute(insert(_BY_NAME[part.table]), rows)
    except exc.DBAPIError as error:
        wrong_values = isinstance(error, exc.IntegrityError | exc.DataError) or (sqlstate(error) or "").startswith(
            _DATA_STATES
        )
        if not wrong_values:
            raise
        raise Misconfigured(f"rows of {part.table} do not fit into this registry: {_kind(error)}") from None


async def finish(connection: AsyncConnection, wanted: Mapping[str, Tally], *, sqlite: bool) -> None:
    """Compare every table with what was to be there; raises `Misconfigured` naming those that differ."""
    if not sqlite:
        await connection.execute(_NEXT_ENTRY)
    wrong = differences(wanted, await tallied(connection))
    if wrong:
        raise Misconfigured(f"what was written is not what was read: {'; '.join(wrong)}")


def _kind(error: exc.DBAPIError) -> str:
    # The driver's message would repeat what people stored; its class says as much.
    return type(error.orig).__name__ if error.orig is not None else type(error).__name__
