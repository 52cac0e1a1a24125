"""Keeps workspaces and their settings, and founds the first one."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.people import Person
from relay.rules.access import Role

NameTakeover = Literal["newest", "refuse-online"]


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
        raise NotImplementedError

    async def first(self) -> Founded | None:
        """The oldest workspace with its longest-standing owner; None before bootstrap."""
        raise NotImplementedError

    async def create(self, name: str, owner: str, actor: Actor, now_ms: int) -> Workspace:
        """A new workspace owned by the person `owner`; raises `LimitReached` beyond WORKSPACES_PER_PERSON."""
        raise NotImplementedError

    async def get(self, workspace: str) -> Workspace:
        """The workspace with this id; raises `NotFound`."""
        raise NotImplementedError

    async def of_person(self, person: str) -> list[Workspace]:
        """The workspaces that a person belongs to, by name, each with their role."""
        raise NotImplementedError

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
        raise NotImplementedError
