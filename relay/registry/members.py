"""Keeps who belongs to a workspace, in which role, and what happens to machines when somebody leaves."""

from __future__ import annotations

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.people import Person
from relay.rules.access import Role


class Member(Struct, frozen=True):
    """A person in a workspace."""

    person: Person
    role: Role
    joined_ms: int


class Removed(Struct, frozen=True):
    """What became of a leaving member's machines."""

    revoked: list[str]  # ids of their PRIVATE machines
    passed: list[str]  # ids of their SHARED machines, now the workspace owner's
    heir: Person


class Members:
    """Memberships of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, workspace: str) -> list[Member]:
        """Everybody in a workspace, by name."""
        raise NotImplementedError

    async def role(self, workspace: str, person: str) -> Role | None:
        """The role of a person in a workspace; None for strangers."""
        raise NotImplementedError

    async def set_role(self, workspace: str, person: str, role: Role, actor: Actor, now_ms: int) -> Member:
        """Change a member's role; raises `NotFound` for strangers, `Conflict` if no owner would be left."""
        raise NotImplementedError

    async def remove(self, workspace: str, person: str, actor: Actor, now_ms: int) -> Removed:
        """Take somebody out of a workspace: their PRIVATE machines are revoked, their SHARED ones pass to the
        longest-standing owner. Raises `NotFound` for strangers, `Conflict` for the last owner."""
        raise NotImplementedError
