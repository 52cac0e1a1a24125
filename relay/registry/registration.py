"""Registers machines: decides with the rules who becomes which machine, and stores what shows only after hello."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from uuid import uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update

from relay.errors import Forbidden, LimitReached, MachineRevoked, NameTaken, NotFound, Unavailable
from relay.registry import naming, reading, revocation
from relay.registry.audit import Actor
from relay.registry.credentials import is_current
from relay.registry.database import Database
from relay.registry.tables import credentials, machines, members, registrations, revoked_installations
from relay.registry.writing import Write, commit
from relay.rules import limits, names
from relay.rules.access import Identity, Role, may
from relay.rules.machine import Registered, Visibility
from relay.rules.quoting import quote

INSTALLATIONS_KEPT = 16  # registrations remembered per machine, to recognise its installations once it is revoked
HOLDER_ATTEMPTS = 5  # the name passed to yet another machine while presence was asked about its holder

IsOnline = Callable[[str], Awaitable[bool]]  # whether the machine with this id is online, asked of presence


class NewMachine(Struct, frozen=True, kw_only=True):
    """What an agent says of its machine when it registers."""

    hostname: str
    version: str
    instance: str  # the installation's id, kept in its machine.json
    name: str | None = None  # None: made from the hostname
    visibility: Visibility | None = None  # None: SHARED with a key, PRIVATE with a personal credential
    labels: dict[str, str] | None = None  # None: what is stored stays
    ephemeral: bool = False
    again: bool = False  # the person asked to come back after a revocation


class Registration(Struct, frozen=True):
    """The machine an agent is now, and the token version its machine token is made with. An existing machine is shown
    as it will be after hello."""

    machine: Registered
    token_version: int
    created: bool


class _Ask(Struct, frozen=True):
    """Presence has to be asked about this machine before anything can be decided."""

    machine: str


async def register(
    database: Database, workspace: str, identity: Identity, new: NewMachine, is_online: IsOnline, now_ms: int
) -> Registration:
    """See `Machines.register`. Each attempt is one transaction; presence is asked between them, never inside."""
    online: dict[str, bool] = {}

    async def attempt(write: Write) -> Registration | _Ask:
        return await _attempt(write, workspace, identity, new, online)

    for _ in range(HOLDER_ATTEMPTS):
        answer = await commit(database, Actor.of(identity), now_ms, attempt)
        if isinstance(answer, Registration):
            return answer
        try:
            online[answer.machine] = await is_online(answer.machine)
        except NotFound:  # revoked since; the next attempt finds whoever holds the name then
            continue
    raise Unavailable("this name changes hands too fast to be registered now")


async def _attempt(
    write: Write, workspace: str, identity: Identity, new: NewMachine, online: Mapping[str, bool]
) -> Registration | _Ask:
    row = await write.lock_workspace(workspace)
    registrar = await current_identity(write, workspace, identity.kind, identity.id)
    if not may(registrar, "register", workspace):
        raise Forbidden("you may not register machines in this workspace")
    hostname = names.clean_hostname(new.hostname)
    known = await _known(write, workspace, registrar, new.instance)
    wanted, holder = await _wanted(write, workspace, registrar, new, hostname, known)
    asks = holder is not None and holder.id not in online and (known is None or holder.id != known.id)
    if asks and holder is not None:
        return _Ask(holder.id)
    facts = names.Facts(
        wanted=wanted,
        known=known,
        revoked=known is None and await _is_revoked(write, workspace, new.instance),
        again=new.again,
        holder=holder,
        holder_online=holder is not None and online.get(holder.id, False),
        may_take=holder is not None and may(registrar, "take-name", workspace, holder),
        policy=row.name_takeover,
    )
    match names.decide_registration(facts):
        case names.StillRevoked():
            raise MachineRevoked("this machine was revoked; `relay serve --register-again` registers it anew")
        case names.NameRefused():
            raise NameTaken(f"the name {quote(wanted.name)} is taken: choose another with --name")
        case names.NewMachine(takes):
            machine, created = await _create(write, workspace, registrar, new, wanted, takes), True
        case names.SameMachine(machine, takes):
            created = False
        case names.Successor(machine):
            takes, created = None, False
    if facts.revoked:
        await revocation.forget_installations(write, workspace, [new.instance])
    return await _store(write, machine, new, wanted, takes, created)


async def current_identity(write: Write, workspace: str, kind: str, id: str) -> Identity:
    """The registrar as of this transaction, with no role left if the membership or the key has ended; what a node has
    cached may be seconds old."""
    if kind == "key":
        query = select(credentials.c.id).where(
            credentials.c.id == id, credentials.c.workspace == workspace, is_current(write.now_ms)
        )
        role = None if await write.connection.scalar(query) is None else "member"
    else:
        query = select(members.c.role).where(members.c.workspace == workspace, members.c.person == id)
        role = await write.connection.scalar(query)
    roles = {workspace: cast("Role", role)} if role is not None else {}
    return Identity("key" if kind == "key" else "person", id, write.actor.name, "", roles, {})


async def _known(write: Write, workspace: str, registrar: Identity, instance: str) -> Registered | None:
    """The newest machine of this installation that the registrar may manage."""
    query = reading.shown(
        machines.c.workspace == workspace, machines.c.instance == instance, machines.c.revoked_ms.is_(None)
    )
    rows = await write.connection.scalars(query.order_by(machines.c.named_ms.desc(), machines.c.id))
    mine = (found for found in map(reading.registered, rows) if may(registrar, "take-name", workspace, found))
    return next(mine, None)


async def _wanted(
    write: Write, workspace: str, registrar: Identity, new: NewMachine, hostname: str, known: Registered | None
) -> tuple[names.Wanted, Registered | None]:
    """The name, with who holds it. Somebody who reinstalls a machine that they had made SHARED need not say so."""
    owner = registrar.person
    wanted = names.decide_wanted(new.name, hostname, new.visibility, owner, known)
    holder = await naming.holder(write.connection, workspace, wanted.scope, names.fold(wanted.name))
    if holder is not None or known is not None or new.visibility is not None or owner is None:
        return wanted, holder
    shared = names.decide_wanted(new.name, hostname, "SHARED", owner, None)
    holder = await naming.holder(write.connection, workspace, shared.scope, names.fold(shared.name))
    if holder is not None and holder.owner is not None and holder.owner.id == owner:
        return shared, holder
    return wanted, None


async def _is_revoked(write: Write, workspace: str, instance: str) -> bool:
    query = select(revoked_installations.c.machine).where(
        revoked_installations.c.workspace == workspace, revoked_installations.c.instance == instance
    )
    return await write.connection.scalar(query) is not None


async def _create(
    write: Write, workspace: str, registrar: Identity, new: NewMachine, wanted: names.Wanted, takes: Registered | None
) -> Registered:
    """A new machine. A free name is held from now on; one that is to be taken, from the first hello on."""
    live = (machines.c.workspace == workspace, machines.c.revoked_ms.is_(None))
    counting = select(func.count()).select_from(machines).where(*live)
    if (await write.connection.execute(counting)).scalar_one() >= limits.MACHINES_PER_WORKSPACE:
        raise LimitReached(
            f"a workspace has at most {limits.MACHINES_PER_WORKSPACE} machines", limit="MACHINES_PER_WORKSPACE"
        )
    id = str(uuid4())
    row = {
        "id": id,
        "workspace": workspace,
        "owner": registrar.person,
        "key": registrar.id if registrar.kind == "key" else None,
        "name": wanted.name,
        "folded": names.fold(wanted.name),
        "scope": wanted.scope,
        "hostname": names.clean_hostname(new.hostname),
        "visibility": wanted.visibility,
        "version": new.version,
        "labels": _labels(new.labels or {}),
        "instance": new.instance,
        "token_version": 0,
        "settled_version": 0,
        "name_held": takes is None,
        "name_chosen": wanted.chosen,
        "named_ms": write.now_ms,
        "ephemeral": new.ephemeral,
        "created_ms": write.now_ms,
    }
    await write.connection.execute(insert(machines).values(row))
    write.change("machine", workspace, id, "registered")
    return await reading.one(write.connection, id)


async def _store(
    write: Write, machine: Registered, new: NewMachine, wanted: names.Wanted, takes: Registered | None, created: bool
) -> Registration:
    """Raise the token version, and keep under it what this installation asked for."""
    version = machine.token_version + 1
    await write.connection.execute(update(machines).where(machines.c.id == machine.id).values(token_version=version))
    row: dict[str, Any] = {
        "machine": machine.id,
        "token_version": version,
        "instance": new.instance,
        "name": wanted.name,
        "chosen": wanted.chosen,
        "visibility": wanted.visibility,
        "scope": wanted.scope,
        "hostname": names.clean_hostname(new.hostname),
        "version": new.version,
        "labels": None if new.labels is None else _labels(new.labels),
        "ephemeral": new.ephemeral,
        "takes": None if takes is None else takes.id,
        "actor_kind": write.actor.kind,
        "actor_id": write.actor.id,
        "actor_name": write.actor.name,
        "registered_ms": write.now_ms,
    }
    await write.connection.execute(insert(registrations).values(row))
    old = registrations.c.token_version <= version - INSTALLATIONS_KEPT
    await write.connection.execute(delete(registrations).where(registrations.c.machine == machine.id, old))
    visible_to = None if wanted.scope == names.SHARED_SCOPE else wanted.scope
    write.note("machine.registered", machine.workspace, machine.id, visible_to=visible_to, name=wanted.name)
    shown = msgspec.structs.replace(
        machine,
        token_version=version,
        name=wanted.name,
        name_chosen=wanted.chosen,
        visibility=wanted.visibility,
        hostname=row["hostname"],
        version=new.version,
        labels=machine.labels if new.labels is None else new.labels,
        instance=new.instance,
        ephemeral=new.ephemeral,
    )
    return Registration(shown, version, created)


def _labels(labels: dict[str, str]) -> str:
    return msgspec.json.encode(labels).decode()
