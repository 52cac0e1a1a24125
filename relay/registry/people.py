"""Keeps people: an id and a name; what they may do hangs on their memberships."""

from __future__ import annotations

from uuid import uuid4

from msgspec import Struct
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import NotFound
from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.tables import members, people
from relay.registry.writing import Write, commit


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
        return await self._database.ask(lambda connection: find(connection, person))

    async def create(self, name: str, now_ms: int) -> Person:
        """A new person without any workspace."""
        return await self._database.attempt(lambda connection: add(connection, name, now_ms))

    async def rename(self, person: str, name: str, actor: Actor, now_ms: int) -> Person:
        """Give a person another name, shown wherever they own something; raises `NotFound`."""
        return await commit(self._database, actor, now_ms, lambda write: rename(write, person, name))


async def find(connection: AsyncConnection, person: str) -> Person:
    """The person with this id; raises `NotFound`."""
    row = (await connection.execute(select(people).where(people.c.id == person))).one_or_none()
    if row is None:
        raise NotFound("no such person")
    return Person(row.id, row.name)


async def add(connection: AsyncConnection, name: str, now_ms: int) -> Person:
    """A new person, inside somebody's transaction."""
    person = Person(str(uuid4()), name)
    await connection.execute(insert(people).values(id=person.id, name=name, created_ms=now_ms))
    return person


async def rename(write: Write, person: str, name: str) -> Person:
    """Change the name and tell every workspace that shows it; raises `NotFound`."""
    before = await find(write.connection, person)
    await write.connection.execute(update(people).where(people.c.id == person).values(name=name))
    for workspace in await write.connection.scalars(select(members.c.workspace).where(members.c.person == person)):
        write.change("member", workspace, person, "renamed")
    write.note("person.renamed", None, person, before=before.name, name=name)
    return Person(person, name)
