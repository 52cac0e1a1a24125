"""Moves names between machines, inside transactions that have locked the workspace."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Boolean, ColumnElement, and_, delete, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry import reading
from relay.registry.tables import former_names, machines
from relay.registry.writing import Write
from relay.rules import timing
from relay.rules.machine import Registered
from relay.rules.names import SHARED_SCOPE

FORMER_MS = timing.FORMER_NAME_HOURS * 3_600_000
# As the index on held names says it: SQLite does not see that "name_held = 1" means the same, and reads the workspace.
_HELD: ColumnElement[bool] = literal_column("machines.name_held", Boolean)


def called(workspace: str, scope: str, folded: str) -> ColumnElement[bool]:
    """The machines of this name in this scope, whether they hold it or lost it; revoked ones have no name."""
    return and_(
        machines.c.workspace == workspace,
        machines.c.scope == scope,
        machines.c.folded == folded,
        machines.c.revoked_ms.is_(None),
    )


async def holder(connection: AsyncConnection, workspace: str, scope: str, folded: str) -> Registered | None:
    """Who holds a name now."""
    return (await holders(connection, workspace, [(scope, folded)])).get((scope, folded))


async def holders(
    connection: AsyncConnection, workspace: str, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Registered]:
    """Who holds names now, by scope and folded name; of other places some may be among them."""
    scopes, folded = {scope for scope, _ in places}, {folded for _, folded in places}
    query = reading.shown(
        machines.c.workspace == workspace,
        machines.c.scope.in_(scopes),
        machines.c.folded.in_(folded),
        machines.c.revoked_ms.is_(None),
        _HELD,
    ).add_columns(machines.c.scope, machines.c.folded)
    rows = await connection.execute(query)
    return {(scope, folded): reading.registered(row) for row, scope, folded in rows}


async def lock(write: Write, machine: str) -> Any:
    """A machine's own row with its workspace locked before it, so that its name cannot move meanwhile; None if there
    is no such machine."""
    workspace = await write.connection.scalar(select(machines.c.workspace).where(machines.c.id == machine))
    if workspace is None:
        return None
    await write.lock_workspace(workspace)
    locking = select(machines).where(machines.c.id == machine).with_for_update(key_share=True)
    return (await write.connection.execute(locking)).one()


class Locked(NamedTuple):
    """Rows of machines that are locked, by id, and the workspaces of those that somebody else holds."""

    rows: dict[str, Any]
    held: dict[str, str]


async def lock_all(write: Write, ids: Collection[str], *, wait: bool) -> Locked:
    """The same of many machines, those that are there, whatever workspaces they are in. Two who lock many do it in one
    order, so neither waits for the other for ever; who does not `wait` goes without those that somebody holds."""
    known = select(machines.c.id, machines.c.workspace).where(machines.c.id.in_(ids))
    places = {row.id: row.workspace for row in await write.connection.execute(known)}
    free = await write.lock_workspaces(set(places.values()), wait=wait)
    mine = machines.c.id.in_([id for id, workspace in places.items() if workspace in free])
    locking = select(machines).where(mine).order_by(machines.c.id).with_for_update(key_share=True, skip_locked=not wait)
    rows = {row.id: row for row in await write.connection.execute(locking)}
    return Locked(rows, {id: workspace for id, workspace in places.items() if id not in rows})


async def shadow(write: Write, loser: Registered, winner: str) -> None:
    """Take the name from its holder; whoever had lost it before is shadowed by the winner too."""
    row = (await write.connection.execute(select(machines).where(machines.c.id == loser.id))).one()
    lost = machines.c.shadowed_by.is_not(None)
    everybody = await write.connection.scalars(
        select(machines.c.id).where(called(row.workspace, row.scope, row.folded), lost, machines.c.id != winner)
    )
    losers = [loser.id, *everybody]
    await write.connection.execute(
        update(machines).where(machines.c.id.in_(losers)).values(name_held=False, shadowed_by=winner)
    )
    for machine in losers:
        write.change("machine", row.workspace, machine, "shadowed", by=winner)
    visible_to = None if row.scope == SHARED_SCOPE else row.scope
    write.note("name.taken-over", row.workspace, winner, visible_to=visible_to, name=row.name, loser=loser.id)


async def hand_back_all(write: Write, workspace: str, places: Collection[tuple[str, str]]) -> None:
    """Many names became free, by scope and folded name; hardly any of them was lost by somebody who waits for it."""
    waiting = select(machines.c.scope, machines.c.folded).where(
        machines.c.workspace == workspace,
        machines.c.folded.in_({folded for _, folded in places}),
        machines.c.revoked_ms.is_(None),
        machines.c.shadowed_by.is_not(None),
    )
    awaited = {(row.scope, row.folded) for row in await write.connection.execute(waiting)}
    for scope, folded in sorted(awaited.intersection(places)):
        await hand_back(write, workspace, scope, folded)


async def hand_back(write: Write, workspace: str, scope: str, folded: str) -> None:
    """A name became free: of those who had lost it, the newest has it again and shadows the others."""
    waiting = select(machines.c.id, machines.c.name).where(
        called(workspace, scope, folded), machines.c.shadowed_by.is_not(None)
    )
    rows = (await write.connection.execute(waiting.order_by(machines.c.named_ms.desc(), machines.c.id))).all()
    if not rows:
        return
    heir, *others = rows
    await write.connection.execute(
        update(machines).where(machines.c.id == heir.id).values(name_held=True, shadowed_by=None)
    )
    write.change("machine", workspace, heir.id, "unshadowed")
    visible_to = None if scope == SHARED_SCOPE else scope
    write.note("name.returned", workspace, heir.id, visible_to=visible_to, name=heir.name)
    if others:
        ids = [row.id for row in others]
        await write.connection.execute(update(machines).where(machines.c.id.in_(ids)).values(shadowed_by=heir.id))
        for id in ids:
            write.change("machine", workspace, id, "shadowed", by=heir.id)


async def remember_changes(write: Write, before: Any, after: Any) -> None:
    """A name or hostname that a machine gave up by itself resolves for 24 hours more; one it has now needs no memory,
    and one that was taken from it leads to the taker."""
    given_up = set()
    if before.hostname != after.hostname:
        given_up.add(before.hostname)
    if before.name_held and before.folded != after.folded:
        given_up.add(before.name)
    until_ms = write.now_ms + FORMER_MS
    insert = sqlite.insert if write.connection.dialect.name == "sqlite" else postgresql.insert
    for name in sorted(given_up - {after.name, after.hostname}):
        adding = insert(former_names).values(machine=after.id, workspace=after.workspace, name=name, until_ms=until_ms)
        again = adding.on_conflict_do_update(index_elements=["machine", "name"], set_={"until_ms": until_ms})
        await write.connection.execute(again)
    if given_up:
        current = former_names.c.name.in_([after.name, after.hostname])
        await write.connection.execute(delete(former_names).where(former_names.c.machine == after.id, current))
