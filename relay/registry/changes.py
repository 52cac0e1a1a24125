"""Keeps the numbered table of access changes that every node tails."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from relay.registry.database import Database

Kind = Literal["machine", "machine-revoked", "member", "credential", "workspace"]


class Change(Struct, frozen=True, kw_only=True):
    """One change of access. Numbers have no holes, so a tail that meets one fell behind the clean-up: start afresh.

    `subject` is the id of a machine, a person ("member"), a credential or a workspace. `detail["action"]` says more:
    registered, renamed, relabelled, hostname, visibility, shadowed, unshadowed, owner; role, removed, joined, renamed;
    ended; created, updated.
    """

    number: int
    kind: Kind
    workspace: str | None
    subject: str
    detail: dict[str, Any]


class Changes:
    """The tail's letter; the bell rings on the bus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self) -> int:
        """The number of the last change, 0 before the first."""
        raise NotImplementedError

    async def since(self, number: int, limit: int = 1_000) -> list[Change]:
        """Changes after `number` in order, at most `limit`."""
        raise NotImplementedError

    async def clean(self, before_ms: int) -> int:
        """Forget changes from before `before_ms`, keeping the last one; the answer is how many."""
        raise NotImplementedError
