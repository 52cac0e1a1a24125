"""Settles registrations at their agents' first hello: only now do they show, and do names change hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from msgspec import Struct
from sqlalchemy import bindparam, select, update

from relay.errors import MachineRevoked, NotFound, RelayError
from relay.registry import naming, reading, registrars
from relay.registry.audit import SYSTEM, Actor
from relay.registry.database import Database
from relay.registry.registrars import Who
from relay.registry.tables import machines, registrations, workspaces
from relay.registry.together import Elsewhere, Later, Together
from relay.registry.writing import Write, commit
from relay.rules import names
from relay.rules.access import may
from relay.rules.machine import Registered

# First hellos of all workspaces are settled together: in a large cluster most teams are small. Nothing waits there for
# a workspace that somebody holds: its hellos wait in a place of their own.
EVERYWHERE = ""


class Settled(Struct, frozen=True):
    """A machine after its agent's first hello with a token version, and the machine that lost its name to it."""

    machine: Registered
    shadowed: Registered | None


class Hello(NamedTuple):
    """One machine that said hello."""

    machine: str
    token_version: int
    now_ms: int


Settlements = Together[Hello, Settled]
Outcome = Settled | RelayError | Later | Elsewhere


def settlements(database: Database) -> Settlements:
    """Where first hellos wait for those that are being settled."""

    async def work(place: str, hellos: Sequence[Hello]) -> list[Outcome]:
        now_ms = max(hello.now_ms for hello in hellos)
        return await commit(database, SYSTEM, now_ms, lambda write: _attempt(write, place, hellos))

    return Together(work, database.answer_seconds)


async def settle(together: Settlements, machine: str, token_version: int, now_ms: int) -> Settled:
    """See `Machines.settle`."""
    return await together.do(EVERYWHERE, Hello(machine, token_version, now_ms))


async def _attempt(write: Write, place: str, hellos: Sequence[Hello]) -> list[Outcome]:
    """Settle first those who keep the name that they hold, all at once, then the others one after the other, and in a
    transaction of their workspace alone. What is said twice of one machine is for two transactions."""
    due: dict[str, Hello] = {}
    for hello in hellos:
        due.setdefault(hello.machine, hello)
    rows, held = await naming.lock_all(write, due, wait=place != EVERYWHERE)
    live = {id: due[id] for id, row in rows.items() if row.revoked_ms is None}
    first = {
        id: hello.token_version
        for id, hello in live.items()
        if rows[id].settled_version < hello.token_version <= rows[id].token_version
    }
    asked = await _asked(write, first)
    plain = {id: row for id, row in asked.items() if _keeps_name(rows[id], row)}
    await _settle_plain(write, rows, plain)
    others = first.keys() - plain.keys()
    aside = {**held, **{id: rows[id].workspace for id in others}} if place == EVERYWHERE else {}
    losers: dict[str, str] = {}
    for id in sorted(others - aside.keys()):
        loser = await _settle(write, id, first[id], asked.get(id))
        if loser is not None:
            losers[id] = loser.id
    shown = await reading.by_id(write.connection, [*(live.keys() - aside.keys()), *losers.values()])

    def answer(hello: Hello) -> Outcome:
        if due[hello.machine] is not hello:
            return "later"
        if hello.machine in aside:
            return Elsewhere(aside[hello.machine])
        if hello.machine not in rows:
            return NotFound("no such machine")
        if hello.machine not in live:
            return MachineRevoked("this machine was revoked")
        loser = losers.get(hello.machine)
        return Settled(shown[hello.machine], None if loser is None else shown[loser])

    return [answer(hello) for hello in hellos]


async def _asked(write: Write, versions: dict[str, int]) -> dict[str, Any]:
    """What was asked for with these token versions, by machine; what is so many registrations ago that it is forgotten
    is not among it, and a newer one will settle."""
    if not versions:
        return {}
    query = select(registrations).where(
        registrations.c.machine.in_(versions), registrations.c.token_version.in_(set(versions.values()))
    )
    rows = await write.connection.execute(query)
    return {row.machine: row for row in rows if row.token_version == versions[row.machine]}


def _keeps_name(row: Any, asked: Any) -> bool:
    """Whether nothing of a registration concerns another machine, or what resolves to this one."""
    place = (asked.scope, names.fold(asked.name))
    return row.name_held and place == (row.scope, row.folded) and asked.hostname == row.hostname


async def _settle_plain(write: Write, rows: dict[str, Any], plain: dict[str, Any]) -> None:
    if not plain:
        return
    written: list[dict[str, Any]] = []
    for id in sorted(plain):  # in the order in which sweepers lock them
        row, asked = rows[id], plain[id]
        values = {**_described(row, asked), **_called(asked), **_seen(write, asked.token_version)}
        written.append(values | {"this": id})
        if _shows_difference(row._mapping, {**row._mapping, **values}):
            write.change("machine", row.workspace, id, "changed")
    columns: dict[str, Any] = {column: bindparam(f"new_{column}") for column in written[0] if column != "this"}
    storing = update(machines).where(machines.c.id == bindparam("this")).values(columns)
    await write.connection.execute(
        storing, [{name if name == "this" else f"new_{name}": value for name, value in row.items()} for row in written]
    )


async def _settle(write: Write, id: str, token_version: int, asked: Any) -> Registered | None:
    """One that may concern others; the answer is who lost the name to it."""
    this = machines.c.id == id
    row = (await write.connection.execute(select(machines).where(this))).one()  # those before it may have changed it
    await write.connection.execute(update(machines).where(this).values(**_seen(write, token_version)))
    if asked is None:
        return None
    write.actor = Actor(asked.actor_kind, asked.actor_id, asked.actor_name)
    await write.connection.execute(update(machines).where(this).values(**_described(row, asked)))
    loser = await _settle_name(write, row, asked)
    after = (await write.connection.execute(select(machines).where(this))).one()
    if _shows_difference(row._mapping, after._mapping):
        write.change("machine", row.workspace, row.id, "changed")
    await naming.remember_changes(write, row, after)
    return loser


def _seen(write: Write, token_version: int) -> dict[str, Any]:
    """What a first hello says by itself: a flush of Redis right now must not hide it."""
    return {"settled_version": token_version, "last_seen_ms": write.now_ms, "offline_reason": None}


def _called(asked: Any) -> dict[str, Any]:
    return {"name": asked.name, "name_chosen": asked.chosen, "named_ms": asked.registered_ms}


def _described(row: Any, asked: Any) -> dict[str, Any]:
    """What a registration changes apart from name and visibility."""
    return {
        "instance": asked.instance,
        "hostname": asked.hostname,
        "version": asked.version,
        "labels": row.labels if asked.labels is None else asked.labels,
        "ephemeral": asked.ephemeral,
        "key": asked.actor_id if asked.actor_kind == "key" and row.owner is None else row.key,
    }


async def _settle_name(write: Write, row: Any, asked: Any) -> Registered | None:
    """Hold the wanted name, taking it if need be; the answer is who lost it. Where it cannot be had any more, because
    somebody asked for it later, a name that is held stays, and without one the machine runs on in the shadow."""
    folded, here = names.fold(asked.name), machines.c.id == row.id
    same_place = (asked.scope, folded) == (row.scope, row.folded)
    holder = await naming.holder(write.connection, row.workspace, asked.scope, folded)
    if holder is not None and holder.id == row.id:
        await write.connection.execute(update(machines).where(here).values(**_called(asked)))
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
        **_called(asked),
        "folded": names.fold(asked.name),
        "scope": asked.scope,
        "visibility": asked.visibility,
        "name_held": shadowed_by is None,
        "shadowed_by": shadowed_by,
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
    who = Who(asked.actor_kind, asked.actor_id, asked.actor_name)
    registrar = (await registrars.current(write, workspace, [who]))[who]
    return may(registrar, "take-name", workspace, holder)


def _shows_difference(before: Any, after: Any) -> bool:
    hidden = {"settled_version", "token_version", "named_ms"}
    return any(before[column] != after[column] for column in before if column not in hidden)
