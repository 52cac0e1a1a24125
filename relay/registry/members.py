"""Keeps who belongs to a workspace, in which role, and what happens to machines when somebody leaves."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import delete, select, update

from relay.errors import Conflict, NotFound
from relay.registry import revocation
from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.people import Person
from relay.registry.tables import machines, members, people
from relay.registry.writing import Write, commit
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
        rows = await self._database.rows(_members(workspace))
        return sorted(map(_member, rows), key=lambda found: (found.person.name.casefold(), found.person.id))

    async def role(self, workspace: str, person: str) -> Role | None:
        """The role of a person in a workspace; None for strangers."""
        wanted = select(members.c.role).where(members.c.workspace == workspace, members.c.person == person)
        row = await self._database.row(wanted)
        return None if row is None else row.role

    async def set_role(self, workspace: str, person: str, role: Role, actor: Actor, now_ms: int) -> Member:
        """Change a member's role; raises `NotFound` for strangers, `Conflict` if no owner would be left."""

        async def work(write: Write) -> Member:
            member, owners = await _member_and_owners(write, workspace, person)
            if member.role == role:
                return member
            if member.role == "owner" and len(owners) == 1:
                raise Conflict("the last owner of a workspace stays its owner")
            this = (members.c.workspace == workspace, members.c.person == person)
            await write.connection.execute(update(members).where(*this).values(role=role))
            write.change("member", workspace, person, "role", role=role)
            write.note("member.role", workspace, person, name=member.person.name, before=member.role, role=role)
            return Member(member.person, role, member.joined_ms)

        return await commit(self._database, actor, now_ms, work)

    async def remove(self, workspace: str, person: str, actor: Actor, now_ms: int) -> Removed:
        """Take somebody out of a workspace: their PRIVATE machines are revoked, their SHARED ones pass to the
        longest-standing owner. Raises `NotFound` for strangers, `Conflict` for the last owner."""

        async def work(write: Write) -> Removed:
            member, owners = await _member_and_owners(write, workspace, person)
            heirs = [owner.person for owner in owners if owner.person.id != person]
            if not heirs:
                raise Conflict("the last owner of a workspace cannot leave it")
            this = (members.c.workspace == workspace, members.c.person == person)
            await write.connection.execute(delete(members).where(*this))
            write.change("member", workspace, person, "removed")
            write.note("member.removed", workspace, person, name=member.person.name)
            passed = await _pass_on(write, workspace, person, heirs[0])
            private = [row.id for row in await _owned(write, workspace, person)]
            if private:
                await revocation.take_away(write, workspace, private)
            return Removed(private, passed, heirs[0])

        return await commit(self._database, actor, now_ms, work)


async def _member_and_owners(write: Write, workspace: str, person: str) -> tuple[Member, list[Member]]:
    """The member and all owners, longest-standing first, with the workspace locked; raises `NotFound`."""
    await write.lock_workspace(workspace)
    everybody = [_member(row) for row in (await write.connection.execute(_members(workspace))).all()]
    found = [member for member in everybody if member.person.id == person]
    if not found:
        raise NotFound("no such member")
    owners = [member for member in everybody if member.role == "owner"]
    return found[0], sorted(owners, key=lambda owner: (owner.joined_ms, owner.person.id))


async def _pass_on(write: Write, workspace: str, person: str, heir: Person) -> list[str]:
    """Give somebody's SHARED machines to the heir; names stay, for a SHARED name has no owner in its scope."""
    shared = [row for row in await _owned(write, workspace, person) if row.visibility == "SHARED"]
    passed = [row.id for row in shared]
    if passed:
        await write.connection.execute(update(machines).where(machines.c.id.in_(passed)).values(owner=heir.id))
    for row in shared:
        write.change("machine", workspace, row.id, "owner")
        write.note("machine.passed-on", workspace, row.id, name=row.name, owner=heir.name)
    return passed


async def _owned(write: Write, workspace: str, person: str) -> Any:
    wanted = select(machines.c.id, machines.c.name, machines.c.visibility).where(
        machines.c.workspace == workspace, machines.c.owner == person, machines.c.revoked_ms.is_(None)
    )
    return (await write.connection.execute(wanted)).all()


def _members(workspace: str) -> Any:
    return (
        select(members.c.person, people.c.name, members.c.role, members.c.joined_ms)
        .join(people, people.c.id == members.c.person)
        .where(members.c.workspace == workspace)
    )


def _member(row: Any) -> Member:
    return Member(Person(row.person, row.name), row.role, row.joined_ms)
