"""Keeps workspace keys: credentials of a workspace rather than a person, to register and reach machines with."""

from __future__ import annotations

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.database import Database


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
        raise NotImplementedError

    async def list(self, workspace: str, now_ms: int) -> list[Key]:
        """A workspace's current keys, newest first."""
        raise NotImplementedError

    async def revoke(
        self, workspace: str, key: str, actor: Actor, now_ms: int, *, machines: bool = False
    ) -> KeyRevoked:
        """End a key, and with `machines` revoke what was registered with it; again is harmless. Raises `NotFound`."""
        raise NotImplementedError
