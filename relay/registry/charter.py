"""Keeps which registry this is, and where its content moved to if it did."""

from __future__ import annotations

from uuid import uuid4

from msgspec import Struct
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Misconfigured, RegistryUnavailable
from relay.registry.database import Database
from relay.registry.tables import charter
from relay.rules.machine import iso

# Of several who find no row one makes it, and all of them read that one. Both databases know these words.
_MAKE = text("INSERT INTO charter (number, id, created_ms) VALUES (1, :id, :now) ON CONFLICT (number) DO NOTHING")

_MOVED_TO = select(charter.c.moved_to)  # made once, for every writing transaction asks it


class Charter(Struct, frozen=True):
    """The id that a registry keeps for life, through backups and moves; a copy made on purpose gets another."""

    id: str
    created_ms: int


async def which(database: Database, now_ms: int) -> Charter:
    """This registry's charter, made now if it has none yet."""
    found = await known(database)
    if found is None:

        async def make(connection: AsyncConnection) -> None:
            await connection.execute(_MAKE, {"id": str(uuid4()), "now": now_ms})

        await database.attempt(make)
        found = await known(database)
        assert found is not None, "it was made a moment ago, and nobody takes one away"
    return found


async def known(database: Database) -> Charter | None:
    """This registry's charter, if it has one yet."""
    row = await database.row(select(charter))
    return None if row is None else Charter(row.id, row.created_ms)


async def refuse_moved(connection: AsyncConnection) -> None:
    """Raise `Misconfigured` if this registry's content went elsewhere: what is written here would be lost."""
    row = (await connection.execute(select(charter.c.moved_to, charter.c.moved_ms))).one_or_none()
    if row is not None and row.moved_to is not None:
        raise Misconfigured(
            f"this registry was moved to {row.moved_to} on {iso(row.moved_ms)}; set RELAY_DATABASE_URL to that"
        )


async def take_no_writes_once_moved(connection: AsyncConnection) -> None:
    """Raise `RegistryUnavailable` if the content went elsewhere since this process opened the registry. Its read lock
    on the charter lasts as long as the transaction, so that a move waits for it."""
    if await connection.scalar(_MOVED_TO) is not None:
        raise RegistryUnavailable(
            "the registry was moved while this process ran: start it anew with the new RELAY_DATABASE_URL"
        )


async def close_to_writers(connection: AsyncConnection) -> None:
    """Let those who write to PostgreSQL come to their end, and nobody begin until this transaction ends; one of
    SQLite's that may write is alone already."""
    await connection.execute(text("LOCK TABLE charter IN ACCESS EXCLUSIVE MODE"))


async def say_moved(connection: AsyncConnection, to: str, now_ms: int) -> None:
    """Let nobody open this registry any more, and nobody who has it open write to it."""
    await connection.execute(update(charter).values(moved_to=to, moved_ms=now_ms))


async def be_a_copy(connection: AsyncConnection, now_ms: int) -> None:
    """Become a registry of its own, whatever it was copied from."""
    await connection.execute(update(charter).values(id=str(uuid4()), created_ms=now_ms))


async def stay(connection: AsyncConnection) -> None:
    """Be the place of this content again."""
    await connection.execute(update(charter).values(moved_to=None, moved_ms=None))
