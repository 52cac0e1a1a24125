"""Counts what the registry holds: by table, and by the secret that each hash needs to be known again."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import func, select

from relay.registry.credentials import is_current
from relay.registry.database import Database
from relay.registry.snapshot import TABLES
from relay.registry.tables import credentials, links, machines
from relay.rules.tokens import SECRET_ID_BYTES

Kind = Literal["keys", "tokens", "sign-ins", "links"]
KINDS: dict[str, Kind] = {"team": "keys", "pat": "tokens", "web": "sign-ins", "cli": "sign-ins"}
ID_CHARACTERS = 2 * SECRET_ID_BYTES  # a hash is "SECRETID:HEX"


class Hanging(NamedTuple):
    """So many things of one kind that are current and were hashed with one secret."""

    secret: str
    kind: Kind
    how_many: int


class Census:
    """Counts; nothing is changed by it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hanging(self, now_ms: int) -> list[Hanging]:
        """What would be unknown to a cluster without one of its secrets."""
        secret = func.substr(credentials.c.hash, 1, ID_CHARACTERS)
        held = select(secret.label("id"), credentials.c.kind, func.count().label("found")).where(is_current(now_ms))
        counts: dict[tuple[str, Kind], int] = {}
        for row in await self._database.rows(held.group_by(secret, credentials.c.kind)):
            named = row.id, KINDS[row.kind]
            counts[named] = counts.get(named, 0) + row.found
        secret = func.substr(links.c.hash, 1, ID_CHARACTERS)
        pending = select(secret.label("id"), func.count().label("found")).where(
            links.c.used_ms.is_(None), links.c.expires_ms > now_ms
        )
        for row in await self._database.rows(pending.group_by(secret)):
            counts[row.id, "links"] = row.found
        return [Hanging(id, kind, count) for (id, kind), count in sorted(counts.items())]

    async def machines(self) -> int:
        """How many machines are registered and not revoked."""
        row = await self._database.row(select(func.count().label("found")).where(machines.c.revoked_ms.is_(None)))
        return 0 if row is None else int(row.found)

    async def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        found: dict[str, int] = {}
        for table in TABLES:
            row = await self._database.row(select(func.count().label("found")).select_from(table))
            found[str(table.name)] = 0 if row is None else int(row.found)
        return found
