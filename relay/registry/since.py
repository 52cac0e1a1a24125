"""Remembers of a registry that is about to be replaced what its backup may be too old to know."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry.changes import COUNTER
from relay.registry.tables import charter, counters, credentials, machines, members, people, revoked_installations
from relay.rules.access import Role
from relay.rules.machine import Visibility


class Standing(NamedTuple):
    """Who had a machine, and who saw it."""

    owner: str | None
    visibility: Visibility


class Membership(NamedTuple):
    """A person in a workspace."""

    name: str
    created_ms: int  # the person
    role: Role
    joined_ms: int


class Since(Struct):
    """What the replaced registry knows."""

    same: bool = False  # it is the backup's own registry, later: what it lacks was taken away, and forgotten since
    counter: int = 0
    revoked: set[str] = field(default_factory=set)
    installations: list[dict[str, object]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    current: set[str] = field(default_factory=set)  # credentials that have not ended
    machines: dict[str, Standing] = field(default_factory=dict)  # those that are not revoked
    members: dict[str, dict[str, Membership]] = field(default_factory=dict)  # by workspace and person

    def has_ended(self, credential: str) -> bool:
        """Whether a credential of the backup is over."""
        return credential in self.ended or (self.same and credential not in self.current)

    def has_revoked(self, machine: str) -> bool:
        """Whether a machine of the backup was revoked. One that is not there any more was, and then pruned."""
        return machine in self.revoked or (self.same and machine not in self.machines)


async def known(connection: AsyncConnection, registry: str) -> Since:
    """What the registry holds now, for a backup of the registry with this id; nobody changes the counter until the
    transaction ends."""
    counter = await connection.scalar(select(counters.c.value).where(counters.c.name == COUNTER).with_for_update())
    since = Since(same=await connection.scalar(select(charter.c.id)) == registry, counter=counter or 0)
    wanted = select(machines.c.id, machines.c.owner, machines.c.visibility, machines.c.revoked_ms)
    for row in await connection.execute(wanted):
        if row.revoked_ms is None:
            since.machines[row.id] = Standing(row.owner, row.visibility)
        else:
            since.revoked.add(row.id)
    for id, ended_ms in await connection.execute(select(credentials.c.id, credentials.c.ended_ms)):
        (since.current if ended_ms is None else since.ended).add(id)
    since.installations = [dict(row._mapping) for row in await connection.execute(select(revoked_installations))]
    since.members = await memberships(connection)
    return since


async def memberships(connection: AsyncConnection) -> dict[str, dict[str, Membership]]:
    """Everybody in each workspace."""
    wanted = select(members, people.c.name, people.c.created_ms).join(people, people.c.id == members.c.person)
    found: dict[str, dict[str, Membership]] = {}
    for row in await connection.execute(wanted):
        mine = found.setdefault(row.workspace, {})
        mine[row.person] = Membership(row.name, row.created_ms, row.role, row.joined_ms)
    return found
