"""Narrows a restored registry to what the replaced one still allowed: members, their roles, and who sees a machine."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct
from sqlalchemy import and_, delete, insert, select, update

from relay.registry import naming, revocation
from relay.registry.since import Membership, Since, Standing, memberships
from relay.registry.tables import machines, members, people
from relay.registry.writing import Write
from relay.rules.access import Role
from relay.rules.names import name_scope

_ROLES: tuple[Role, ...] = get_args(Role)  # from the one that may most
AT_ONCE = 500  # machines in one statement

Members = dict[str, dict[str, Membership]]  # by workspace and person


class Narrowed(Struct):
    """How much was taken away."""

    members: int = 0  # removed, or of a lesser role
    machines: int = 0  # of another owner, or PRIVATE


async def narrow(write: Write, since: Since) -> Narrowed:
    """Let nobody have more than in both. A workspace that would be left without an owner has those of the replaced
    registry. Machines that were revoked since are to be revoked already."""
    narrowed = Narrowed()
    if since.same:
        found = await memberships(write.connection)
        for workspace in found.keys() & since.members.keys():
            narrowed.members += await _narrow_members(write, workspace, found[workspace], since.members[workspace])
            await _keep_owned(write, workspace, found[workspace], since.members[workspace])
        narrowed.machines = await _narrow_machines(write, found, since)
    return narrowed


async def _narrow_members(
    write: Write, workspace: str, mine: dict[str, Membership], there: dict[str, Membership]
) -> int:
    narrowed = 0
    for person, member in list(mine.items()):
        this = and_(members.c.workspace == workspace, members.c.person == person)
        if person not in there:
            del mine[person]
            await write.connection.execute(delete(members).where(this))
            write.change("member", workspace, person, "removed")
            write.note("member.removed", workspace, person, name=member.name)
        elif (role := max(member.role, there[person].role, key=_ROLES.index)) != member.role:
            mine[person] = member._replace(role=role)
            await write.connection.execute(update(members).where(this).values(role=role))
            write.change("member", workspace, person, "role", role=role)
            write.note("member.role", workspace, person, name=member.name, before=member.role, role=role)
        else:
            continue
        narrowed += 1
    return narrowed


async def _keep_owned(write: Write, workspace: str, mine: dict[str, Membership], there: dict[str, Membership]) -> None:
    if any(member.role == "owner" for member in mine.values()):
        return
    for person, member in there.items():
        if member.role != "owner":
            continue
        this = and_(members.c.workspace == workspace, members.c.person == person)
        await write.connection.execute(delete(members).where(this))
        if await write.connection.scalar(select(people.c.id).where(people.c.id == person)) is None:
            who = {"id": person, "name": member.name, "created_ms": member.created_ms}
            await write.connection.execute(insert(people).values(**who))
        belonging = {"workspace": workspace, "person": person, "role": "owner", "joined_ms": member.joined_ms}
        await write.connection.execute(insert(members).values(**belonging))
        mine[person] = member
        write.change("member", workspace, person, "role", role="owner")
        write.note("member.role", workspace, person, name=member.name, role="owner")


async def _narrow_machines(write: Write, found: Members, since: Since) -> int:
    lost: dict[str, list[str]] = {}
    narrowed = 0
    rows = (await write.connection.execute(select(machines).where(machines.c.revoked_ms.is_(None)))).all()
    for row in rows:
        now = Standing(row.owner, row.visibility)
        wanted = _belongs(now, since.machines.get(row.id, now), found.get(row.workspace, {}))
        if wanted is None:
            lost.setdefault(row.workspace, []).append(row.id)
        elif wanted != now:
            await _hand_over(write, row.id, wanted)
        narrowed += wanted != now
    for workspace, ids in lost.items():
        for start in range(0, len(ids), AT_ONCE):
            await revocation.take_away(write, workspace, ids[start : start + AT_ONCE])
    return narrowed


def _belongs(now: Standing, there: Standing, mine: dict[str, Membership]) -> Standing | None:
    """Whose a machine is and who sees it; None for what would be somebody's alone who is no member."""
    if there.owner != now.owner or there.visibility == "PRIVATE":
        now = there
    if now.owner is None or now.owner in mine:
        return now
    if now.visibility == "PRIVATE":
        return None
    owners = [(member.joined_ms, person) for person, member in mine.items() if member.role == "owner"]
    return now._replace(owner=min(owners)[1]) if owners else now


async def _hand_over(write: Write, machine: str, wanted: Standing) -> None:
    """Names go with machines where they are free, and are lost to whoever has them there."""
    row: Any = (await write.connection.execute(select(machines).where(machines.c.id == machine))).one()
    this, scope = machines.c.id == machine, name_scope(wanted.visibility, wanted.owner)
    values: dict[str, Any] = {"owner": wanted.owner, "visibility": wanted.visibility}
    if scope != row.scope:
        holder = await naming.holder(write.connection, row.workspace, scope, row.folded)
        shadowed_by = None if holder is None else holder.id
        values |= {"scope": scope, "name_held": holder is None, "shadowed_by": shadowed_by}
    await write.connection.execute(update(machines).where(this).values(**values))
    if scope != row.scope and row.name_held:
        await naming.hand_back(write, row.workspace, row.scope, row.folded)
    if wanted.owner != row.owner:
        write.change("machine", row.workspace, machine, "owner")
    if wanted.visibility != row.visibility:
        write.change("machine", row.workspace, machine, "visibility", visibility=wanted.visibility)
    visible_to = wanted.owner if wanted.visibility == "PRIVATE" else None
    write.note(
        "machine.visibility", row.workspace, machine, visible_to=visible_to, name=row.name, visibility=wanted.visibility
    )
