"""Brings a registry's schema to what this code expects, and refuses one that is newer."""

from __future__ import annotations

from relay.registry.database import Database


async def migrate(url: str) -> None:
    """Upgrade the registry at `url`, creating it if need be. Any number of processes may do so at once. Raises
    `Misconfigured` if the registry was made by newer code, `Unavailable` if the database does not answer."""
    raise NotImplementedError


async def check_version(database: Database) -> None:
    """Raise `Misconfigured` unless the schema is exactly the one that this code expects."""
    raise NotImplementedError
