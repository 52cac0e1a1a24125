"""Owns one writing transaction: its actor, and the changes and audit rows that it commits with everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import NotFound
from relay.registry.audit import Actor
from relay.registry.changes import COUNTER, Kind
from relay.registry.database import Database
from relay.registry.tables import audit, changes, counters, workspaces

T = TypeVar("T")


class Write:
    """A transaction under way. Changes get their numbers last, so the counter's lock is held only for the commit and
    nobody who holds it ever waits for another lock."""

    def __init__(self, connection: AsyncConnection, actor: Actor, now_ms: int) -> None:
        self.connection = connection
        self.actor = actor
        self.now_ms = now_ms
        self._changes: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []

    def change(self, kind: Kind, workspace: str | None, subject: str, action: str, **detail: Any) -> None:
        """Tell every node, once this is committed."""
        body = msgspec.json.encode({"action": action, **detail}).decode()
        self._changes.append({"kind": kind, "workspace": workspace, "subject": subject, "detail": body})

    def note(
        self, action: str, workspace: str | None, subject: str, *, visible_to: str | None = None, **detail: Any
    ) -> None:
        """Add a line to the audit trail; `visible_to` is the owner of a PRIVATE machine."""
        self._notes.append(
            {
                "at_ms": self.now_ms,
                "workspace": workspace,
                "actor_kind": self.actor.kind,
                "actor_id": self.actor.id,
                "actor_name": self.actor.name,
                "action": action,
                "subject": subject,
                "visible_to": visible_to,
                "detail": msgspec.json.encode(detail).decode(),
            }
        )

    async def lock_workspace(self, workspace: str) -> Any:
        """The workspace's row, locked: names and members of one workspace change one transaction at a time. Raises
        `NotFound`."""
        wanted = select(workspaces).where(workspaces.c.id == workspace).with_for_update(key_share=True)
        row = (await self.connection.execute(wanted)).one_or_none()
        if row is None:
            raise NotFound("no such workspace")
        return row

    async def lock_workspaces(self, ids: Collection[str], *, wait: bool) -> set[str]:
        """Several of them, in the order of their ids; the answer is which. Who does not wait goes without those that
        somebody else has locked."""
        wanted = select(workspaces.c.id).where(workspaces.c.id.in_(ids)).order_by(workspaces.c.id)
        locking = wanted.with_for_update(key_share=True, skip_locked=not wait)
        return set(await self.connection.scalars(locking))

    async def flush(self) -> dict[str, int]:
        """Number and write what was told so far; the answer is the last number by subject. Take no lock after it."""
        numbers: dict[str, int] = {}
        if self._changes:
            counting = (
                update(counters)
                .where(counters.c.name == COUNTER)
                .values(value=counters.c.value + len(self._changes))
                .returning(counters.c.value)
            )
            last: int = (await self.connection.execute(counting)).scalar_one()
            for number, row in enumerate(self._changes, start=last - len(self._changes) + 1):
                row |= {"number": number, "at_ms": self.now_ms}
                numbers[row["subject"]] = number
            await self.connection.execute(insert(changes), self._changes)
            self._changes = []
        if self._notes:
            await self.connection.execute(insert(audit), self._notes)
            self._notes = []
        return numbers


async def commit(database: Database, actor: Actor, now_ms: int, work: Callable[[Write], Awaitable[T]]) -> T:
    """What `work` answers from inside one transaction that commits with its changes and audit rows."""

    async def attempt(connection: AsyncConnection) -> T:
        write = Write(connection, actor, now_ms)
        answer = await work(write)
        await write.flush()
        return answer

    return await database.attempt(attempt)
