"""Keeps the audit trail: who did what to what, written in the transaction that did it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from msgspec import Struct

from relay.registry.database import Database
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
        raise NotImplementedError
