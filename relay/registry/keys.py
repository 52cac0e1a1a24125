"""Keeps workspace keys: credentials of a workspace rather than a person, to register and reach machines with."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import func, insert, select, update

from relay.errors import LimitReached, NotFound
from relay.registry import revocation
from relay.registry.audit import Actor
from relay.registry.credentials import is_current
from relay.registry.database import Database
from relay.registry.tables import credentials, machines
from relay.registry.writing import Write, commit
from relay.rules import limits


class Key(Struct, frozen=True, kw_only=True):
    """A workspace key as its admins see it; the hash stays here."""

    id: str
    workspace: str
    name: str
    created_ms: int
    created_by: str  # the actor's name at the time
    expires_ms: int | None


class KeyRevoked(Struct, frozen=True):
    """What a key's revocation took with it: ids of revoked machines."""

    key: str
    machines: list[str]


class Keys:
    """The keys of all workspaces; `Credentials.find` finds them too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, workspace: str, hash: str, name: str, expires_ms: int | None, actor: Actor, now_ms: int
    ) -> Key:
        """Store a key; raises `NotFound` for an unknown workspace, `LimitReached` beyond KEYS_PER_WORKSPACE."""
        of_workspace = (credentials.c.workspace == workspace, is_current(now_ms))

        async def work(write: Write) -> Key:
            await write.lock_workspace(workspace)
            counting = select(func.count()).select_from(credentials).where(*of_workspace)
            if (await write.connection.execute(counting)).scalar_one() >= limits.KEYS_PER_WORKSPACE:
                raise LimitReached(
                    f"a workspace has at most {limits.KEYS_PER_WORKSPACE} keys", limit="KEYS_PER_WORKSPACE"
                )
            row = {
                "id": str(uuid4()),
                "workspace": workspace,
                "name": name,
                "created_ms": now_ms,
                "created_by": actor.name,
                "expires_ms": expires_ms,
            }
            await write.connection.execute(insert(credentials).values(kind="team", hash=hash, **row))
            key = Key(**row)  # type: ignore[arg-type]
            write.note("key.created", workspace, key.id, name=name)
            return key

        return await commit(self._database, actor, now_ms, work)

    async def list(self, workspace: str, now_ms: int) -> list[Key]:
        """A workspace's current keys, newest first."""
        wanted = (
            select(credentials)
            .where(credentials.c.workspace == workspace, is_current(now_ms))
            .order_by(credentials.c.created_ms.desc(), credentials.c.id)
        )
        return [_key(row) for row in await self._database.rows(wanted)]

    async def revoke(
        self, workspace: str, key: str, actor: Actor, now_ms: int, *, machines: bool = False
    ) -> KeyRevoked:
        """End a key, and with `machines` revoke what was registered with it; again is harmless. Raises `NotFound`."""

        async def work(write: Write) -> KeyRevoked:
            await write.lock_workspace(workspace)
            this = (credentials.c.id == key, credentials.c.workspace == workspace)
            row = (await write.connection.execute(select(credentials).where(*this).with_for_update())).one_or_none()
            if row is None:
                raise NotFound("no such key")
            taken = await _registered_with(write, workspace, key) if machines else []
            if row.ended_ms is None:
                await write.connection.execute(update(credentials).where(*this).values(ended_ms=now_ms))
                write.change("credential", workspace, key, "ended")
                write.note("key.revoked", workspace, key, name=row.name, machines=len(taken))
            if taken:
                await revocation.take_away(write, workspace, taken)
            return KeyRevoked(key, taken)

        return await commit(self._database, actor, now_ms, work)


async def _registered_with(write: Write, workspace: str, key: str) -> list[str]:
    wanted = select(machines.c.id).where(
        machines.c.workspace == workspace, machines.c.key == key, machines.c.revoked_ms.is_(None)
    )
    return list(await write.connection.scalars(wanted))


def _key(row: Any) -> Key:
    return Key(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        created_ms=row.created_ms,
        created_by=row.created_by,
        expires_ms=row.expires_ms,
    )
