"""Keeps the fleet in the registry, which sweepers tell who left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import select

from loadtests.presence.fleet import Life
from relay.registry.database import Database
from relay.registry.tables import machines, workspaces
from relay.rules.names import fold, name_scope

ROWS_AT_ONCE = 1_000


async def write(database_url: str, lives: Sequence[Life]) -> None:
    """Put the machines and their workspaces in, as if they had registered and said hello once."""
    now_ms = time.time_ns() // 1_000_000
    fixed = {
        "visibility": "SHARED", "scope": name_scope("SHARED", None), "version": "1.0.0", "labels": "{}",
        "token_version": 1, "settled_version": 1, "name_held": True, "name_chosen": True, "named_ms": now_ms,
        "ephemeral": False, "created_ms": now_ms,
    }  # fmt: skip
    rows = []
    for number, life in enumerate(lives):
        name = f"build-{number:06d}"
        of = {"id": life.member.machine, "workspace": life.member.workspace, "instance": life.member.machine}
        rows.append(fixed | of | {"name": name, "folded": fold(name), "hostname": f"{name}.example.internal"})
    teams = [
        {"id": id, "name": id, "name_takeover": "newest", "created_ms": now_ms}
        for id in {life.member.workspace for life in lives}
    ]
    database = Database(database_url)
    try:
        async with database.exclusive() as connection:
            await connection.execute(workspaces.insert(), teams)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            async with database.exclusive() as connection:
                await connection.execute(machines.insert(), rows[start : start + ROWS_AT_ONCE])
    finally:
        await database.close()


async def offline(database_url: str) -> set[str]:
    """The machines that the registry was told to be offline."""
    database = Database(database_url)
    try:
        async with database.exclusive() as connection:
            found = await connection.execute(select(machines.c.id).where(machines.c.offline_reason.is_not(None)))
            return set(found.scalars())
    finally:
        await database.close()
