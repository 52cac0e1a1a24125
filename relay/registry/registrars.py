"""Finds out what role each of those who register machines has now; what a node has cached may be seconds old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from sqlalchemy import select

from relay.registry.credentials import is_current
from relay.registry.tables import credentials, members
from relay.registry.writing import Write
from relay.rules.access import Identity, Role


class Who(NamedTuple):
    """Somebody who registers machines, as a transaction remembers them."""

    kind: str
    id: str
    name: str


async def current(write: Write, workspace: str, asked: Iterable[Who]) -> dict[Who, Identity]:
    """All who are asked about as of this transaction, with no role left if the membership or the key has ended."""
    everybody = set(asked)
    keys = [who.id for who in everybody if who.kind == "key"]
    people = [who.id for who in everybody if who.kind != "key"]
    roles: dict[tuple[bool, str], Role] = {}
    if keys:
        valid = select(credentials.c.id).where(
            credentials.c.id.in_(keys), credentials.c.workspace == workspace, is_current(write.now_ms)
        )
        roles |= {(True, id): "member" for id in await write.connection.scalars(valid)}
    if people:
        joined = select(members.c.person, members.c.role).where(
            members.c.workspace == workspace, members.c.person.in_(people)
        )
        roles |= {(False, row.person): cast("Role", row.role) for row in await write.connection.execute(joined)}
    return {who: _identity(who, workspace, roles.get((who.kind == "key", who.id))) for who in everybody}


def _identity(who: Who, workspace: str, role: Role | None) -> Identity:
    roles: dict[str, Role] = {} if role is None else {workspace: role}
    return Identity("key" if who.kind == "key" else "person", who.id, who.name, "", roles, {})
