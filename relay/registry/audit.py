"""Keeps the audit trail: who did what to what, written in the transaction that did it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import or_, select

from relay.registry.database import Database
from relay.registry.tables import audit
from relay.rules import limits
from relay.rules.access import Identity


class Actor(NamedTuple):
    """Who changes something, as the audit trail will name them even after they are gone."""

    kind: Literal["person", "key", "system"]
    id: str
    name: str

    @classmethod
    def of(cls, identity: Identity) -> Actor:
        """The actor behind a credential."""
        return cls(identity.kind, identity.id, identity.name)


SYSTEM = Actor("system", "", "relay")  # the relay itself: bootstrap, ephemeral machines that leave, clean-up


class Entry(Struct, frozen=True, kw_only=True):
    """One line of the trail. `action` is like "machine.registered", "name.taken-over", "member.removed"."""

    number: int
    at_ms: int
    workspace: str | None
    actor: Actor
    action: str
    subject: str  # the id that it was done to
    detail: dict[str, Any]


class AuditPage(Struct, frozen=True):
    """Entries, newest first; `next` is the cursor of the page after this, or None."""

    entries: list[Entry]
    next: int | None


class Audit:
    """Reading the trail; writing belongs to the transactions that change something."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, workspace: str, viewer: str | None, cursor: int | None = None, limit: int = limits.EVENTS_PAGE
    ) -> AuditPage:
        """A page of a workspace's trail as the person `viewer` may see it: what concerns a PRIVATE machine is shown to
        its owner alone. `cursor` is a page's `next`."""
        wanted = (
            select(audit)
            .where(audit.c.workspace == workspace, or_(audit.c.visible_to.is_(None), audit.c.visible_to == viewer))
            .order_by(audit.c.number.desc())
            .limit(limit + 1)  # one more tells whether there is a next page
        )
        if cursor is not None:
            wanted = wanted.where(audit.c.number < cursor)
        rows = await self._database.rows(wanted)
        entries = [_entry(row) for row in rows[:limit]]
        return AuditPage(entries, entries[-1].number if len(rows) > limit else None)


def _entry(row: Any) -> Entry:
    return Entry(
        number=row.number,
        at_ms=row.at_ms,
        workspace=row.workspace,
        actor=Actor(row.actor_kind, row.actor_id, row.actor_name),
        action=row.action,
        subject=row.subject,
        detail=msgspec.json.decode(row.detail),
    )
