"""Settles a registration at its agent's first hello: only now does it show, and does the name change hands."""

from __future__ import annotations

from typing import Any, cast

from msgspec import Struct
from sqlalchemy import select, update

from relay.errors import MachineRevoked, NotFound
from relay.registry import naming, reading
from relay.registry.audit import SYSTEM, Actor
from relay.registry.database import Database
from relay.registry.registration import current_identity
from relay.registry.tables import machines, registrations, workspaces
from relay.registry.writing import Write, commit
from relay.rules import names
from relay.rules.access import may
from relay.rules.machine import Registered


class Settled(Struct, frozen=True):
    """A machine after its agent's first hello with a token version, and the machine that lost its name to it."""

    machine: Registered
    shadowed: Registered | None


async def settle(database: Database, machine: str, token_version: int, now_ms: int) -> Settled:
    """See `Machines.settle`."""

    async def work(write: Write) -> Settled:
        row = await naming.lock(write, machine)
        if row is None:
            raise NotFound("no such machine")
        if row.revoked_ms is not None:
            raise MachineRevoked("this machine was revoked")
        loser = None
        if row.settled_version < token_version <= row.token_version:
            loser = await _settle(write, row, token_version)
        shadowed = None if loser is None else await reading.one(write.connection, loser.id)
        return Settled(await reading.one(write.connection, machine), shadowed)

    return await commit(database, SYSTEM, now_ms, work)


async def _settle(write: Write, row: Any, token_version: int) -> Registered | None:
    this = machines.c.id == row.id
    seen = {"last_seen_ms": write.now_ms, "offline_reason": None}  # a flush of Redis right now must not hide it
    await write.connection.execute(update(machines).where(this).values(settled_version=token_version, **seen))
    asked = await _asked(write, row.id, token_version)
    if asked is None:  # so many registrations ago that it is forgotten; a newer one will settle
        return None
    write.actor = Actor(asked.actor_kind, asked.actor_id, asked.actor_name)
    described = _described(row, asked)
    if described:
        await write.connection.execute(update(machines).where(this).values(**described))
    loser = await _settle_name(write, row, asked)
    after = (await write.connection.execute(select(machines).where(this))).one()
    if _shows_difference(row, after):
        write.change("machine", row.workspace, row.id, "changed")
    await naming.remember_changes(write, row, after)
    return loser


async def _asked(write: Write, machine: str, token_version: int) -> Any:
    query = select(registrations).where(
        registrations.c.machine == machine, registrations.c.token_version == token_version
    )
    return (await write.connection.execute(query)).one_or_none()


def _described(row: Any, asked: Any) -> dict[str, Any]:
    """What a registration changes apart from name and visibility."""
    values = {
        "instance": asked.instance,
        "hostname": asked.hostname,
        "version": asked.version,
        "labels": row.labels if asked.labels is None else asked.labels,
        "ephemeral": asked.ephemeral,
        "key": asked.actor_id if asked.actor_kind == "key" and row.owner is None else row.key,
    }
    return {column: value for column, value in values.items() if value != row._mapping[column]}


async def _settle_name(write: Write, row: Any, asked: Any) -> Registered | None:
    """Hold the wanted name, taking it if need be; the answer is who lost it. Where it cannot be had any more, because
    somebody asked for it later, a name that is held stays, and without one the machine runs on in the shadow."""
    folded, here = names.fold(asked.name), machines.c.id == row.id
    same_place = (asked.scope, folded) == (row.scope, row.folded)
    holder = await naming.holder(write.connection, row.workspace, asked.scope, folded)
    if holder is not None and holder.id == row.id:
        values = {"name": asked.name, "name_chosen": asked.chosen, "named_ms": asked.registered_ms}
        await write.connection.execute(update(machines).where(here).values(**values))
        return None
    shadowed_by = None
    if holder is not None and not await _may_take(write, row.workspace, asked, holder):
        if row.name_held and asked.scope == row.scope:
            return None
        shadowed_by, holder = holder.id, None
    if holder is not None:
        await naming.shadow(write, holder, row.id)
    await _place(write, row, asked, shadowed_by)
    if row.name_held and not same_place:
        await naming.hand_back(write, row.workspace, row.scope, row.folded)
    return holder


async def _place(write: Write, row: Any, asked: Any, shadowed_by: str | None) -> None:
    values = {
        "name": asked.name,
        "folded": names.fold(asked.name),
        "name_chosen": asked.chosen,
        "scope": asked.scope,
        "visibility": asked.visibility,
        "name_held": shadowed_by is None,
        "shadowed_by": shadowed_by,
        "named_ms": asked.registered_ms,
    }
    await write.connection.execute(update(machines).where(machines.c.id == row.id).values(**values))


async def _may_take(write: Write, workspace: str, asked: Any, holder: Registered) -> bool:
    """The newest registration takes precedence, if whoever made it may still manage the holder."""
    query = select(machines.c.named_ms, workspaces.c.name_takeover).join(
        workspaces, workspaces.c.id == machines.c.workspace
    )
    row = (await write.connection.execute(query.where(machines.c.id == holder.id))).one()
    if row.named_ms > asked.registered_ms:
        return False
    if cast("names.TakeoverPolicy", row.name_takeover) == "refuse-online" and holder.id != asked.takes:
        return False  # nobody looked whether this one is online
    registrar = await current_identity(write, workspace, asked.actor_kind, asked.actor_id)
    return may(registrar, "take-name", workspace, holder)


def _shows_difference(before: Any, after: Any) -> bool:
    hidden = {"settled_version", "token_version", "named_ms"}
    return any(before._mapping[column] != after._mapping[column] for column in before._mapping if column not in hidden)
