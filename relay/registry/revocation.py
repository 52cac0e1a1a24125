"""Revokes machines, remembers which installations they were, and lists them for Redis's mirror."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import NotFound, RelayError
from relay.registry import naming
from relay.registry.audit import SYSTEM
from relay.registry.changes import COUNTER
from relay.registry.database import Database
from relay.registry.tables import counters, former_names, machines, registrations, revoked_installations
from relay.registry.together import Later, Together
from relay.registry.writing import Write, commit


class Revocation(Struct, frozen=True, kw_only=True):
    """A revocation that is stored; `number` is its change, for the mirror."""

    machine: str
    workspace: str
    revoked_ms: int
    number: int
    first: bool  # False: it had been revoked before


class RevokedMachine(Struct, frozen=True):
    """One revoked machine."""

    id: str
    workspace: str
    number: int


class Revoked(Struct, frozen=True):
    """Machines revoked after the asked number, up to and including change `upto`; ask again from there while `more`."""

    machines: list[RevokedMachine]
    upto: int
    more: bool


class Departure(NamedTuple):
    """An ephemeral machine that leaves."""

    machine: str
    now_ms: int


Departures = Together[Departure, None]


def departures(database: Database) -> Departures:
    """Where ephemeral machines that leave wait for those of their workspace that are being removed."""

    async def work(workspace: str, leaving: Sequence[Departure]) -> list[RelayError | Later | None]:
        ids, now_ms = {each.machine for each in leaving}, max(each.now_ms for each in leaving)
        await commit(database, SYSTEM, now_ms, lambda write: _leave(write, workspace, ids))
        return [None] * len(leaving)

    return Together(work, database.answer_seconds)


async def _leave(write: Write, workspace: str, ids: Collection[str]) -> None:
    """Take away those that are there. An autoscaled fleet leaves at once, and its machines hold up nobody's."""
    await write.lock_workspace(workspace)
    here = (machines.c.workspace == workspace, machines.c.id.in_(ids), machines.c.revoked_ms.is_(None))
    locking = select(machines.c.id).where(*here).order_by(machines.c.id).with_for_update(key_share=True)
    live = list(await write.connection.scalars(locking))
    if live:
        await take_away(write, workspace, live, left=True)


async def revoke(write: Write, machine: str) -> Revocation:
    """Revoke one machine, or answer how it was revoked before; raises `NotFound`."""
    row = await naming.lock(write, machine)
    if row is None:
        raise NotFound("no such machine")
    first = row.revoked_ms is None
    if first:
        await take_away(write, row.workspace, [machine])
        row = (await write.connection.execute(select(machines).where(machines.c.id == machine))).one()
    return Revocation(
        machine=machine,
        workspace=row.workspace,
        revoked_ms=row.revoked_ms,
        number=row.revoked_number,
        first=first,
    )


async def take_away(write: Write, workspace: str, ids: Sequence[str], *, left: bool = False) -> None:
    """Revoke unrevoked machines of one locked workspace. `left`: they removed themselves, so their installations may
    register again unasked. Numbers the changes, so it comes last in its transaction."""
    these = machines.c.id.in_(ids)
    rows = (await write.connection.execute(select(machines).where(these).order_by(machines.c.id))).all()
    if not left:
        await _remember_installations(write, workspace, ids)
    values = {"revoked_ms": write.now_ms, "name_held": False, "shadowed_by": None}
    await write.connection.execute(update(machines).where(these).values(**values))
    await write.connection.execute(delete(former_names).where(former_names.c.machine.in_(ids)))
    await naming.hand_back_all(write, workspace, {(row.scope, row.folded) for row in rows if row.name_held})
    for row in rows:
        write.change("machine-revoked", workspace, row.id, "revoked")
        visible_to = row.owner if row.visibility == "PRIVATE" else None
        action = "machine.left" if left else "machine.revoked"
        write.note(action, workspace, row.id, visible_to=visible_to, name=row.name, hostname=row.hostname)
    numbers = await write.flush()
    await write.connection.execute(
        update(machines).where(machines.c.id == bindparam("revoked")).values(revoked_number=bindparam("change")),
        [{"revoked": id, "change": numbers[id]} for id in ids],
    )


async def listed(connection: AsyncConnection, since: int, limit: int) -> Revoked:
    """Machines revoked by changes after `since`. The counter is read first: what it counts is visible already."""
    latest: int = (await connection.execute(select(counters.c.value).where(counters.c.name == COUNTER))).scalar_one()
    wanted = (
        select(machines.c.id, machines.c.workspace, machines.c.revoked_number)
        .where(machines.c.revoked_number > since, machines.c.revoked_number <= latest)
        .order_by(machines.c.revoked_number)
        .limit(limit)
    )
    found = [RevokedMachine(*row) for row in await connection.execute(wanted)]
    more = len(found) == limit
    return Revoked(found, found[-1].number if more else latest, more)


async def _remember_installations(write: Write, workspace: str, ids: Sequence[str]) -> None:
    """Every installation that was ever one of these machines, unless it is another machine by now."""
    was = select(registrations.c.instance, registrations.c.machine).where(registrations.c.machine.in_(ids))
    instances = {row.instance: row.machine for row in await write.connection.execute(was)}
    elsewhere = select(machines.c.instance).where(
        machines.c.workspace == workspace,
        machines.c.instance.in_(list(instances)),
        machines.c.revoked_ms.is_(None),
        machines.c.id.not_in(ids),
    )
    for instance in await write.connection.scalars(elsewhere):
        instances.pop(instance, None)
    if not instances:
        return
    await forget_installations(write, workspace, list(instances))
    rows = [
        {"workspace": workspace, "instance": instance, "machine": machine, "revoked_ms": write.now_ms}
        for instance, machine in instances.items()
    ]
    await write.connection.execute(insert(revoked_installations), rows)


async def forget_installations(write: Write, workspace: str, instances: Sequence[str]) -> None:
    """These installations may register again."""
    these = revoked_installations.c.instance.in_(instances)
    await write.connection.execute(
        delete(revoked_installations).where(revoked_installations.c.workspace == workspace, these)
    )
