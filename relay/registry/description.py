"""Changes what a machine is called and who sees it: name, labels, visibility, hostname."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select, update

from relay.errors import NameTaken, NotFound
from relay.registry import naming, reading
from relay.registry.tables import machines
from relay.registry.writing import Write
from relay.rules import names
from relay.rules.machine import Registered, Visibility
from relay.rules.quoting import quote


async def rename(write: Write, machine: str, text: str) -> Registered:
    """See `Machines.rename`."""
    row, name = await _lock(write, machine), names.clean_name(text)
    if name == row.name and row.name_held and row.name_chosen:
        return await reading.one(write.connection, machine)
    await _refuse_taken(write, row, row.scope, name)
    await _move(write, row, row.scope, {"name": name, "name_chosen": True})
    write.change("machine", row.workspace, machine, "renamed")
    _note(write, row, "machine.renamed", before=row.name, name=name)
    return await reading.one(write.connection, machine)


async def relabel(write: Write, machine: str, labels: dict[str, str]) -> Registered:
    """See `Machines.relabel`."""
    row, text = await _lock(write, machine), msgspec.json.encode(labels).decode()
    if text != row.labels:
        await write.connection.execute(update(machines).where(machines.c.id == machine).values(labels=text))
        write.change("machine", row.workspace, machine, "relabelled")
        _note(write, row, "machine.relabelled", name=row.name, labels=labels)
    return await reading.one(write.connection, machine)


async def set_visibility(write: Write, machine: str, visibility: Visibility) -> Registered:
    """See `Machines.set_visibility`. A machine that lost its name holds it again where nobody else does."""
    row = await _lock(write, machine)
    if visibility != row.visibility:
        scope = names.name_scope(visibility, row.owner)
        await _refuse_taken(write, row, scope, row.name)
        await _move(write, row, scope, {"visibility": visibility})
        write.change("machine", row.workspace, machine, "visibility", visibility=visibility)
        # Everybody concerned saw the machine before or sees it after, so nothing is betrayed by this one line.
        write.note("machine.visibility", row.workspace, machine, name=row.name, visibility=visibility)
    return await reading.one(write.connection, machine)


async def set_hostname(write: Write, machine: str, text: str) -> Registered:
    """See `Machines.set_hostname`."""
    row, hostname = await _lock(write, machine), names.clean_hostname(text)
    if hostname == row.hostname:
        return await reading.one(write.connection, machine)
    values: dict[str, Any] = {"hostname": hostname}
    if not row.name_chosen:
        name = names.default_name(hostname)
        holder = await naming.holder(write.connection, row.workspace, row.scope, names.fold(name))
        if holder is None or holder.id == machine:
            values["name"] = name
    if "name" in values:
        await _move(write, row, row.scope, values)
    else:
        await write.connection.execute(update(machines).where(machines.c.id == machine).values(**values))
        await _remember(write, row)
    write.change("machine", row.workspace, machine, "hostname")
    _note(write, row, "machine.hostname", before=row.hostname, hostname=hostname)
    return await reading.one(write.connection, machine)


async def _lock(write: Write, machine: str) -> Any:
    row = await naming.lock(write, machine)
    if row is None or row.revoked_ms is not None:
        raise NotFound("no such machine")
    return row


async def _refuse_taken(write: Write, row: Any, scope: str, name: str) -> None:
    holder = await naming.holder(write.connection, row.workspace, scope, names.fold(name))
    if holder is not None and holder.id != row.id:
        raise NameTaken(f"another machine is called {quote(name)}")


async def _move(write: Write, row: Any, scope: str, values: dict[str, Any]) -> None:
    """Hold a name that is free, handing back the one given up; `values` are the columns that change with it."""
    this = machines.c.id == row.id
    folded = names.fold(values.get("name", row.name))
    holding = {"scope": scope, "folded": folded, "name_held": True, "shadowed_by": None, "named_ms": write.now_ms}
    await write.connection.execute(update(machines).where(this).values(**values, **holding))
    if row.name_held and (scope, folded) != (row.scope, row.folded):
        await naming.hand_back(write, row.workspace, row.scope, row.folded)
    await _remember(write, row)


async def _remember(write: Write, before: Any) -> None:
    after = await write.connection.execute(select(machines).where(machines.c.id == before.id))
    await naming.remember_changes(write, before, after.one())


def _note(write: Write, row: Any, action: str, **detail: Any) -> None:
    visible_to = row.owner if row.visibility == "PRIVATE" else None
    write.note(action, row.workspace, row.id, visible_to=visible_to, **detail)
