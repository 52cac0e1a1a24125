"""Forgets what is long over, a few rows at a time, and never what keeps somebody out.

A revoked machine whose row is gone is as unknown as one that never was, and is turned away as revoked all the same;
its installations stay in a list of their own, and may not register again unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry.database import Database
from relay.registry.failures import as_owner
from relay.registry.tables import audit, credentials, former_names, links, machines, registrations

BATCH_ROWS = 500  # in one transaction: milliseconds, between which nodes have their turn

Noun = Literal["audit entries", "credentials", "links", "machines"]


class _Over(NamedTuple):
    """Rows of one table that are over, and the tables whose rows go with them."""

    table: Table
    condition: ColumnElement[bool]
    with_them: tuple[Table, ...] = ()


class Pruning:
    """Deletes or counts what ended before a moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, before_ms: Mapping[Noun, int]) -> dict[Noun, int]:
        """How many rows would go."""
        found: dict[Noun, int] = {}
        for noun, moment in before_ms.items():
            over = _over(noun, moment)
            wanted = select(func.count().label("found")).select_from(over.table).where(over.condition)
            row = await self._database.row(wanted)
            found[noun] = 0 if row is None else int(row.found)
        return found

    async def prune(self, before_ms: Mapping[Noun, int]) -> dict[Noun, int]:
        """Delete them; how many went. Raises `Misconfigured` if the database's user may not, `RegistryUnavailable`;
        what went before stays gone."""
        gone: dict[Noun, int] = {}
        for noun, moment in before_ms.items():
            gone[noun] = 0
            while batch := await self._batch(_over(noun, moment)):
                gone[noun] += batch
        return gone

    async def _batch(self, over: _Over) -> int:
        key = over.table.primary_key.columns.values()[0]

        async def work(connection: AsyncConnection) -> int:
            ids = list(await connection.scalars(select(key).where(over.condition).order_by(key).limit(BATCH_ROWS)))
            if not ids:
                return 0
            for table in over.with_them:
                await connection.execute(delete(table).where(table.c.machine.in_(ids)))
            await connection.execute(delete(over.table).where(key.in_(ids)))
            return len(ids)

        with as_owner(f"delete rows of {over.table.name}"):
            return await self._database.attempt(work)


def _over(noun: Noun, moment: int) -> _Over:
    match noun:
        case "audit entries":
            return _Over(audit, audit.c.at_ms < moment)
        case "credentials":
            return _Over(credentials, or_(credentials.c.ended_ms < moment, credentials.c.expires_ms < moment))
        case "links":
            return _Over(links, or_(links.c.used_ms < moment, links.c.expires_ms < moment))
        case "machines":
            long_gone = and_(machines.c.revoked_ms.is_not(None), machines.c.revoked_ms < moment)
            return _Over(machines, long_gone, (registrations, former_names))
