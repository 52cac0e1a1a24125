"""Keeps the numbered table of access changes that every node tails."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import delete, select

from relay.registry.database import Database
from relay.registry.tables import changes, counters

COUNTER = "changes"  # the row that numbers them

Kind = Literal["machine", "machine-revoked", "member", "credential", "workspace", "registry"]


class Change(Struct, frozen=True, kw_only=True):
    """One change of access. Numbers have no holes, so a tail that meets one fell behind the clean-up: start afresh.

    `subject` is the id of a machine, a person ("member"), a credential, a workspace or the registry itself.
    `detail["action"]` says more: registered, changed, renamed, relabelled, hostname, visibility, shadowed, unshadowed,
    owner; revoked; joined, role, removed, renamed; ended; created, updated; restored.
    """

    number: int
    kind: Kind
    workspace: str | None
    subject: str
    detail: dict[str, Any]
    at_ms: int = 0

    @property
    def mark(self) -> str:
        """What tells this change from another that got its number, in a registry that lost its newest."""
        return _mark(self.at_ms, self.kind, self.subject)


class Head(Struct, frozen=True):
    """The last number that was given out, and the mark of its change; None before the first, or if it was cleaned."""

    number: int
    mark: str | None


class Changes:
    """The tail's letter; the bell rings on the bus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self) -> int:
        """The number of the last change, 0 before the first."""
        wanted = select(counters.c.value).where(counters.c.name == COUNTER)
        row = await self._database.row(wanted)
        assert row is not None, "the counter is made with the schema"
        return int(row.value)

    async def head(self) -> Head:
        """The end of the table, in one look."""
        wanted = (
            select(counters.c.value, changes.c.at_ms, changes.c.kind, changes.c.subject)
            .outerjoin(changes, changes.c.number == counters.c.value)
            .where(counters.c.name == COUNTER)
        )
        row = await self._database.row(wanted)
        assert row is not None, "the counter is made with the schema"
        return Head(int(row.value), None if row.at_ms is None else _mark(row.at_ms, row.kind, row.subject))

    async def since(self, number: int, limit: int = 1_000) -> list[Change]:
        """Changes after `number` in order, at most `limit`."""
        wanted = select(changes).where(changes.c.number > number).order_by(changes.c.number).limit(limit)
        rows = await self._database.rows(wanted)
        return [
            Change(
                number=row.number,
                kind=row.kind,
                workspace=row.workspace,
                subject=row.subject,
                detail=msgspec.json.decode(row.detail),
                at_ms=row.at_ms,
            )
            for row in rows
        ]

    async def clean(self, before_ms: int) -> int:
        """Forget changes from before `before_ms`; the answer is how many. Keep days: a tail is seconds behind."""
        return await self._database.erase(delete(changes).where(changes.c.at_ms < before_ms))


def _mark(at_ms: int, kind: str, subject: str) -> str:
    return f"{at_ms} {kind} {subject}"
