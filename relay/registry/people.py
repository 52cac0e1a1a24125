"""Keeps people: an id and a name; what they may do hangs on their memberships."""

from __future__ import annotations

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.database import Database


class Person(Struct, frozen=True):
    """Somebody who signs in."""

    id: str
    name: str


class People:
    """Everybody the cluster knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, person: str) -> Person:
        """The person with this id; raises `NotFound`."""
        raise NotImplementedError

    async def create(self, name: str, now_ms: int) -> Person:
        """A new person without any workspace."""
        raise NotImplementedError

    async def rename(self, person: str, name: str, actor: Actor, now_ms: int) -> Person:
        """Give a person another name, shown wherever they own something; raises `NotFound`."""
        raise NotImplementedError
