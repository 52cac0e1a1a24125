"""Puts a backup into a registry in one transaction, so that nothing that was taken away since comes back with it.

What a backup is too old to know is made up for, as far as anything still knows it:

* The counter of changes goes on far above every number that the backup, the replaced registry or Redis's mirror has
  heard of, and the newest change is the restoring itself. A node that runs finds its place in the table gone, forgets
  what it had read and asks everything again; its handshakes ask Redis's mirror of revocations for that higher number,
  so the mirror is loaded anew. It only ever grows.
* Machines that Redis's mirror or the replaced registry know as revoked are revoked here too.
* Token versions go on above those that agents got since, so that of two installations one is always the newer.
* Links are over: one that was used since cannot be told from one that was not.
* With a replaced registry, keys, tokens and sign-ins that had ended there have ended here.
* If that was this very registry at a later time, members who were removed there are removed here, roles and visibility
  are the lesser of both, and what it does not have any more was taken away and then pruned: machines are revoked, and
  credentials ended. Rows that it *lost* come back in an empty registry only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from sqlalchemy import case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.registry import charter, loading, narrowing, revocation
from relay.registry.audit import SYSTEM
from relay.registry.backup import Backup
from relay.registry.changes import COUNTER
from relay.registry.database import PATIENT_SECONDS, Database
from relay.registry.failures import as_owner
from relay.registry.migrate import migrate
from relay.registry.narrowing import Narrowed
from relay.registry.since import Since, known
from relay.registry.snapshot import Tally
from relay.registry.tables import counters, credentials, links, machines, revoked_installations, workspaces
from relay.registry.writing import Write

NUMBERS_AHEAD = 1_000_000  # more changes than anybody makes between a backup and the day it is needed
VERSIONS_AHEAD = 1_000  # more registrations than one machine has in that time
IDS_AT_ONCE = 500  # in one statement


class Restored(Struct, frozen=True, kw_only=True):
    """What a restore did beside the backup's own rows."""

    tallies: dict[str, Tally]
    revoked: int  # machines that the backup did not know to be revoked
    ended: int  # credentials that it did not know to have ended
    links: int  # that were not used and are over now
    narrowed: Narrowed  # who may less than the backup says


class Elsewhere(Struct, frozen=True):
    """What Redis's mirror knows."""

    revoked: Collection[str] = ()  # machines
    upto: int = 0  # the highest number of a change that it has heard of


async def restore(
    url: str,
    backup: Backup,
    now_ms: int,
    *,
    elsewhere: Elsewhere = Elsewhere(),  # noqa: B008 - it never changes
    replace: bool = False,
    copy: bool = False,
) -> Restored:
    """Make the registry at `url` what the backup holds, in one transaction. Without `replace` it must be empty; a
    `copy` becomes a registry of its own, for a cluster beside the first. Raises `Conflict` for one that is not empty,
    `Misconfigured`, `RegistryUnavailable`."""
    await migrate(url)
    database = Database(url, answer_seconds=PATIENT_SECONDS)
    try:
        with as_owner("replace what the registry holds"):
            return await _restored(database, backup, elsewhere, now_ms, replace=replace, copy=copy)
    finally:
        await database.close()


async def _restored(
    database: Database, backup: Backup, elsewhere: Elsewhere, now_ms: int, *, replace: bool, copy: bool
) -> Restored:
    async with database.exclusive() as connection:
        write = Write(connection, SYSTEM, now_ms)
        since = await _emptied(connection, backup, replace)
        for part in backup.parts():
            await loading.insert_part(connection, part)
        await loading.finish(connection, backup.tallies, sqlite=database.sqlite)
        if copy:
            await charter.be_a_copy(connection, now_ms)
        await charter.stay(connection)
        restored = await _brought_up_to_date(write, backup, since, elsewhere)
        write.change("registry", None, backup.header.registry, "restored", at=backup.header.at_ms)
        write.note("registry.restored", None, backup.header.registry, at=backup.header.at_ms, revoked=restored.revoked)
        await write.flush()
        return restored


async def _emptied(connection: AsyncConnection, backup: Backup, replace: bool) -> Since:
    if not replace:
        await loading.refuse_filled(connection)
    since = await known(connection, backup.header.registry) if replace else Since()
    await loading.empty(connection)
    return since


async def _brought_up_to_date(write: Write, backup: Backup, since: Since, elsewhere: Elsewhere) -> Restored:
    connection, now_ms = write.connection, write.now_ms
    heard = max(since.counter, elsewhere.upto)
    counted = case((counters.c.value > heard, counters.c.value), else_=heard)
    await connection.execute(update(counters).where(counters.c.name == COUNTER).values(value=counted + NUMBERS_AHEAD))
    await connection.execute(update(machines).values(token_version=machines.c.token_version + VERSIONS_AHEAD))
    over = update(links).where(links.c.used_ms.is_(None), links.c.expires_ms > now_ms).values(expires_ms=now_ms)
    withdrawn = (await connection.execute(over)).rowcount
    ended = await _ended_again(write, since)
    there = await connection.scalars(select(machines.c.id).where(machines.c.revoked_ms.is_(None)))
    taken = await _revoked_again(write, [id for id in there if id in elsewhere.revoked or since.has_revoked(id)])
    await _installations_again(connection, since.installations)
    narrowed = await narrowing.narrow(write, since)
    return Restored(tallies=backup.tallies, revoked=taken, ended=ended, links=withdrawn, narrowed=narrowed)


async def _ended_again(write: Write, since: Since) -> int:
    current = await write.connection.scalars(select(credentials.c.id).where(credentials.c.ended_ms.is_(None)))
    over = [id for id in current if since.has_ended(id)]
    for start in range(0, len(over), IDS_AT_ONCE):
        these = credentials.c.id.in_(over[start : start + IDS_AT_ONCE])
        await write.connection.execute(update(credentials).where(these).values(ended_ms=write.now_ms))
    return len(over)


async def _revoked_again(write: Write, ids: Sequence[str]) -> int:
    taken = 0
    for start in range(0, len(ids), IDS_AT_ONCE):
        these = machines.c.id.in_(ids[start : start + IDS_AT_ONCE]) & machines.c.revoked_ms.is_(None)
        by_workspace: dict[str, list[str]] = {}
        for row in await write.connection.execute(select(machines.c.id, machines.c.workspace).where(these)):
            by_workspace.setdefault(row.workspace, []).append(row.id)
        for workspace, mine in by_workspace.items():
            await revocation.take_away(write, workspace, mine)
            taken += len(mine)
    return taken


async def _installations_again(connection: AsyncConnection, rows: Sequence[dict[str, object]]) -> None:
    """Installations that were refused stay refused, in workspaces that are still there."""
    known = {
        tuple(row)
        for row in await connection.execute(select(revoked_installations.c.workspace, revoked_installations.c.instance))
    }
    present = set(await connection.scalars(select(workspaces.c.id)))
    missing = [row for row in rows if row["workspace"] in present and (row["workspace"], row["instance"]) not in known]
    if missing:
        await connection.execute(insert(revoked_installations), missing)
