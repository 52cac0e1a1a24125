"""Marks when machines were last seen and why they left, in batches and at most once each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry.tables import machines
from relay.rules.machine import OfflineReason
from relay.rules.presence import Fence

MARKS_AT_ONCE = 500  # rows that one transaction locks


class Mark(Struct, frozen=True):
    """What a sweeper found: a machine went offline (`reason`), or is online again (None), under a fence."""

    machine: str
    last_seen_ms: int
    reason: OfflineReason | None
    fence: str  # as text: "tokenversion:generation:connection"


class Believed(Struct, frozen=True):
    """A machine that was online when it was last told of."""

    workspace: str
    machine: str
    last_seen_ms: int
    fence: str | None  # None: no sweeper has told of it yet


async def believed_online(connection: AsyncConnection, after: str, limit: int) -> list[Believed]:
    """At most `limit` machines that nobody has told to be offline, in the order of their ids after `after`."""
    wanted = (
        select(machines.c.workspace, machines.c.id, machines.c.last_seen_ms, machines.c.fence)
        .where(
            machines.c.id > after,
            machines.c.last_seen_ms.is_not(None),
            machines.c.offline_reason.is_(None),
            machines.c.revoked_ms.is_(None),
        )
        .order_by(machines.c.id)
        .limit(limit)
    )
    return [Believed(*row) for row in await connection.execute(wanted)]


async def offline(connection: AsyncConnection, workspace: str) -> set[str]:
    """The machines of a workspace that were offline when they were last told of, or never there. Their ids come as one
    text: most of what ten thousand rows cost is their number."""
    wanted = select(func.aggregate_strings(machines.c.id, ",")).where(
        machines.c.workspace == workspace,
        machines.c.revoked_ms.is_(None),
        or_(machines.c.last_seen_ms.is_(None), machines.c.offline_reason.is_not(None)),
    )
    return set((await connection.scalar(wanted) or "").split(",")) - {""}


async def mark(connection: AsyncConnection, marks: Iterable[Mark]) -> list[str]:
    """Store marks inside a transaction; the answer is who changed between online and offline by it."""
    newest: dict[str, Mark] = {}
    for found in marks:
        if is_news(found, newest.get(found.machine)):
            newest[found.machine] = found
    ids = sorted(newest)  # two sweepers lock in one order, so neither waits for the other for ever
    changed: list[str] = []
    for start in range(0, len(ids), MARKS_AT_ONCE):
        changed += await _mark(connection, [newest[id] for id in ids[start : start + MARKS_AT_ONCE]])
    return changed


def is_news(found: Mark, stored: Mark | None) -> bool:
    """Whether a mark says more than the stored one. Who was last heard at the same moment can only have left since, so
    a repeated or late "online" never undoes an "offline", and the first reason stays."""
    if stored is None:
        return True
    match Fence.parse(found.fence).relation(Fence.parse(stored.fence)):
        case "newer":
            return True
        case "older":
            return False
        case "same":
            left = found.reason is not None and stored.reason is None
            return found.last_seen_ms > stored.last_seen_ms or (found.last_seen_ms == stored.last_seen_ms and left)


async def _mark(connection: AsyncConnection, marks: list[Mark]) -> list[str]:
    wanted = (
        select(machines.c.id, machines.c.last_seen_ms, machines.c.offline_reason, machines.c.fence)
        .where(machines.c.id.in_([found.machine for found in marks]), machines.c.revoked_ms.is_(None))
        .order_by(machines.c.id)
        .with_for_update(key_share=True)
    )
    rows = {row.id: row for row in await connection.execute(wanted)}
    news = [found for found in marks if found.machine in rows and is_news(found, _stored(rows[found.machine]))]
    if news:
        storing = (
            update(machines)
            .where(machines.c.id == bindparam("machine"))
            .values(last_seen_ms=bindparam("seen"), offline_reason=bindparam("reason"), fence=bindparam("by"))
        )
        await connection.execute(
            storing,
            [
                {"machine": found.machine, "seen": found.last_seen_ms, "reason": found.reason, "by": found.fence}
                for found in news
            ],
        )
    return [found.machine for found in news if _was_online(rows[found.machine]) != (found.reason is None)]


def _stored(row: Any) -> Mark | None:
    return None if row.fence is None else Mark(row.id, row.last_seen_ms, row.offline_reason, row.fence)


def _was_online(row: Any) -> bool:
    return row.last_seen_ms is not None and row.offline_reason is None
