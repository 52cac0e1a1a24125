"""Keeps workspaces and their settings, and founds the first one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import func, insert, select, update

from relay.errors import Conflict, LimitReached, NotFound
from relay.registry import people
from relay.registry.audit import SYSTEM, Actor
from relay.registry.changes import COUNTER
from relay.registry.database import Database
from relay.registry.people import Person
from relay.registry.tables import counters, members, workspaces
from relay.registry.tables import people as people_table
from relay.registry.writing import Write, commit
from relay.rules import limits
from relay.rules.access import Role
from relay.rules.names import TakeoverPolicy

NameTakeover = TakeoverPolicy


class Workspace(Struct, frozen=True, kw_only=True):
    """A team. `role` is the asking person's, where one was asked for."""

    id: str
    name: str
    name_takeover: NameTakeover
    created_ms: int
    role: Role | None = None


class Founded(Struct, frozen=True):
    """A workspace and its (first) owner."""

    workspace: Workspace
    owner: Person


class Workspaces:
    """All teams of the cluster."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bootstrap(self, name: str, owner_name: str, now_ms: int) -> Founded:
        """Found the first workspace with its first owner; raises `Conflict` if there is a workspace already."""

        async def work(write: Write) -> Founded:
            # The counter's row is the one thing that exists already: two founders meet there.
            await write.connection.execute(select(counters).where(counters.c.name == COUNTER).with_for_update())
            if (await write.connection.execute(select(workspaces.c.id).limit(1))).first() is not None:
                raise Conflict("this cluster has a workspace already")
            owner = await people.add(write.connection, owner_name, now_ms)
            return Founded(await _add(write, name, owner.id), owner)

        return await commit(self._database, SYSTEM, now_ms, work)

    async def first(self) -> Founded | None:
        """The oldest workspace with its longest-standing owner; None before bootstrap."""
        wanted = (
            select(workspaces, people_table.c.id.label("owner"), people_table.c.name.label("owner_name"))
            .join(members, members.c.workspace == workspaces.c.id)
            .join(people_table, people_table.c.id == members.c.person)
            .where(members.c.role == "owner")
            .order_by(workspaces.c.created_ms, workspaces.c.id, members.c.joined_ms, members.c.person)
            .limit(1)
        )
        row = await self._database.row(wanted)
        return None if row is None else Founded(_workspace(row, "owner"), Person(row.owner, row.owner_name))

    async def create(self, name: str, owner: str, actor: Actor, now_ms: int) -> Workspace:
        """A new workspace owned by the person `owner`; raises `LimitReached` beyond WORKSPACES_PER_PERSON."""

        async def work(write: Write) -> Workspace:
            await people.find(write.connection, owner)
            counting = select(func.count()).select_from(members).where(members.c.person == owner)
            if (await write.connection.execute(counting)).scalar_one() >= limits.WORKSPACES_PER_PERSON:
                raise LimitReached(
                    f"a person has at most {limits.WORKSPACES_PER_PERSON} workspaces", limit="WORKSPACES_PER_PERSON"
                )
            return await _add(write, name, owner)

        return await commit(self._database, actor, now_ms, work)

    async def get(self, workspace: str) -> Workspace:
        """The workspace with this id; raises `NotFound`."""
        row = await self._database.row(select(workspaces).where(workspaces.c.id == workspace))
        if row is None:
            raise NotFound("no such workspace")
        return _workspace(row)

    async def of_person(self, person: str) -> list[Workspace]:
        """The workspaces that a person belongs to, by name, each with their role."""
        wanted = select(workspaces, members.c.role).join(members).where(members.c.person == person)
        rows = await self._database.rows(wanted)
        return sorted((_workspace(row, row.role) for row in rows), key=lambda found: (found.name.casefold(), found.id))

    async def update(
        self,
        workspace: str,
        actor: Actor,
        now_ms: int,
        *,
        name: str | None = None,
        takeover: NameTakeover | None = None,
    ) -> Workspace:
        """Change the name or the setting `nameTakeover`; what is None stays. Raises `NotFound`."""
        wanted: dict[str, Any] = {"name": name, "name_takeover": takeover}
        wanted = {column: value for column, value in wanted.items() if value is not None}

        async def work(write: Write) -> Workspace:
            before = await write.lock_workspace(workspace)
            changed = {column: value for column, value in wanted.items() if before._mapping[column] != value}
            if changed:
                await write.connection.execute(update(workspaces).where(workspaces.c.id == workspace).values(**changed))
                write.change("workspace", workspace, workspace, "updated")
                write.note("workspace.updated", workspace, workspace, **changed)
            after = await write.connection.execute(select(workspaces).where(workspaces.c.id == workspace))
            return _workspace(after.one())

        return await commit(self._database, actor, now_ms, work)


async def _add(write: Write, name: str, owner: str) -> Workspace:
    workspace = Workspace(id=str(uuid4()), name=name, name_takeover="newest", created_ms=write.now_ms, role="owner")
    await write.connection.execute(
        insert(workspaces).values(
            id=workspace.id, name=name, name_takeover=workspace.name_takeover, created_ms=write.now_ms
        )
    )
    await write.connection.execute(
        insert(members).values(workspace=workspace.id, person=owner, role="owner", joined_ms=write.now_ms)
    )
    write.change("workspace", workspace.id, workspace.id, "created")
    write.change("member", workspace.id, owner, "joined")
    write.note("workspace.created", workspace.id, workspace.id, name=name)
    return workspace


def _workspace(row: Any, role: Role | None = None) -> Workspace:
    return Workspace(id=row.id, name=row.name, name_takeover=row.name_takeover, created_ms=row.created_ms, role=role)
