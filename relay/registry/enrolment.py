"""Stores registrations that were decided: new machines at once, and of all what shows only after their hello."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, delete, insert, update

from relay.registry import reading, revocation
from relay.registry.audit import Actor
from relay.registry.premises import Premises, Wish
from relay.registry.tables import machines, registrations
from relay.registry.writing import Write
from relay.rules import names
from relay.rules.machine import Registered

INSTALLATIONS_KEPT = 16  # registrations remembered per machine, to recognise its installations once it is revoked


class Registration(Struct, frozen=True):
    """The machine an agent is now, and the token version its machine token is made with. An existing machine is shown
    as it will be after hello."""

    machine: Registered
    token_version: int
    created: bool


class Decided(Struct, frozen=True):
    """What a registration comes to."""

    wish: Wish
    wanted: names.Wanted
    machine: Registered | None  # None: a new one
    takes: Registered | None  # who is to lose the name
    forgotten: bool  # whether the installation had been revoked, and was asked to register again


async def enrol(write: Write, premises: Premises, decided: Sequence[Decided]) -> list[Registration]:
    """Store them all; no two of them concern one machine, one installation or one name."""
    created = {number: str(uuid4()) for number, each in enumerate(decided) if each.machine is None}
    found = await _create(write, premises, {id: decided[number] for number, id in created.items()})
    existing = [each.machine for each in decided if each.machine is not None]
    await _raise_versions(write, existing)
    again = [each.wish.new.instance for each in decided if each.forgotten]
    if again:
        await revocation.forget_installations(write, premises.workspace, again)
    rows: list[dict[str, Any]] = []
    done: list[Registration] = []
    for number, each in enumerate(decided):
        machine = found[created[number]] if each.machine is None else each.machine
        write.actor = _actor(each)
        if each.machine is None:
            write.change("machine", premises.workspace, machine.id, "registered")
        rows.append(_asked(write, machine, each))
        visible_to = None if each.wanted.scope == names.SHARED_SCOPE else each.wanted.scope
        write.note("machine.registered", machine.workspace, machine.id, visible_to=visible_to, name=each.wanted.name)
        done.append(Registration(_shown(machine, each), machine.token_version + 1, each.machine is None))
    if rows:
        await write.connection.execute(insert(registrations), rows)
    return done


async def _create(write: Write, premises: Premises, new: dict[str, Decided]) -> dict[str, Registered]:
    """New machines by their ids, as they were before their first token. A free name is held from now on; one that is to
    be taken, from the first hello on."""
    if not new:
        return {}
    await write.connection.execute(insert(machines), [_row(write, premises, id, each) for id, each in new.items()])
    found = await reading.by_id(write.connection, new)
    return {id: msgspec.structs.replace(machine, token_version=0) for id, machine in found.items()}


def _row(write: Write, premises: Premises, id: str, each: Decided) -> dict[str, Any]:
    who, new, wanted = each.wish.who, each.wish.new, each.wanted
    return {
        "id": id,
        "workspace": premises.workspace,
        "owner": premises.registrar(each.wish).person,
        "key": who.id if who.kind == "key" else None,
        "name": wanted.name,
        "folded": names.fold(wanted.name),
        "scope": wanted.scope,
        "hostname": names.clean_hostname(new.hostname),
        "visibility": wanted.visibility,
        "version": new.version,
        "labels": _labels(new.labels or {}),
        "instance": new.instance,
        "token_version": 1,
        "settled_version": 0,
        "name_held": each.takes is None,
        "name_chosen": wanted.chosen,
        "named_ms": write.now_ms,
        "ephemeral": new.ephemeral,
        "created_ms": write.now_ms,
    }


async def _raise_versions(write: Write, existing: Sequence[Registered]) -> None:
    """Give the next token version to each, in the order in which sweepers lock them, and forget the oldest."""
    if not existing:
        return
    raising = update(machines).where(machines.c.id == bindparam("machine")).values(token_version=bindparam("next"))
    sorted_by_id = sorted(existing, key=lambda machine: machine.id)
    values = [{"machine": machine.id, "next": machine.token_version + 1} for machine in sorted_by_id]
    await write.connection.execute(raising, values)
    old = [
        {"of": machine.id, "upto": machine.token_version + 1 - INSTALLATIONS_KEPT}
        for machine in sorted_by_id
        if machine.token_version + 1 > INSTALLATIONS_KEPT
    ]
    if old:
        forgetting = delete(registrations).where(
            registrations.c.machine == bindparam("of"), registrations.c.token_version <= bindparam("upto")
        )
        await write.connection.execute(forgetting, old)


def _asked(write: Write, machine: Registered, each: Decided) -> dict[str, Any]:
    """What this installation asked for, kept under its token version."""
    new, wanted = each.wish.new, each.wanted
    return {
        "machine": machine.id,
        "token_version": machine.token_version + 1,
        "instance": new.instance,
        "name": wanted.name,
        "chosen": wanted.chosen,
        "visibility": wanted.visibility,
        "scope": wanted.scope,
        "hostname": names.clean_hostname(new.hostname),
        "version": new.version,
        "labels": None if new.labels is None else _labels(new.labels),
        "ephemeral": new.ephemeral,
        "takes": None if each.takes is None else each.takes.id,
        "actor_kind": write.actor.kind,
        "actor_id": write.actor.id,
        "actor_name": write.actor.name,
        "registered_ms": write.now_ms,
    }


def _shown(machine: Registered, each: Decided) -> Registered:
    new = each.wish.new
    return msgspec.structs.replace(
        machine,
        token_version=machine.token_version + 1,
        name=each.wanted.name,
        name_chosen=each.wanted.chosen,
        visibility=each.wanted.visibility,
        hostname=names.clean_hostname(new.hostname),
        version=new.version,
        labels=machine.labels if new.labels is None else new.labels,
        instance=new.instance,
        ephemeral=new.ephemeral,
    )


def _actor(each: Decided) -> Actor:
    who = each.wish.who
    return Actor("key" if who.kind == "key" else "person", who.id, who.name)


def _labels(labels: dict[str, str]) -> str:
    return msgspec.json.encode(labels).decode()
