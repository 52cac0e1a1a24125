"""Reads machines as plain data, in slices short enough that the event loop is never held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import NotFound
from relay.registry.tables import machines, people, workspaces
from relay.rules.machine import Owner, Registered

SLICE_ROWS = 250  # about a millisecond of mapping; the loop may be held for five

_LABELS: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_SHOWN = (
    machines.c.id,
    machines.c.workspace,
    workspaces.c.name,
    machines.c.owner,
    people.c.name,
    machines.c.name,
    machines.c.hostname,
    machines.c.visibility,
    machines.c.version,
    machines.c.labels,
    machines.c.instance,
    machines.c.token_version,
    machines.c.name_held,
    machines.c.name_chosen,
    machines.c.shadowed_by,
    machines.c.ephemeral,
    machines.c.last_seen_ms,
    machines.c.offline_reason,
    machines.c.created_ms,
    machines.c.revoked_ms,
    machines.c.key,
)


def shown(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The query for machines that meet all conditions."""
    return (
        select(*_SHOWN)
        .join(workspaces, workspaces.c.id == machines.c.workspace)
        .outerjoin(people, people.c.id == machines.c.owner)
        .where(*conditions)
    )


async def one(connection: AsyncConnection, machine: str) -> Registered:
    """One machine, revoked or not; raises `NotFound`."""
    row = (await connection.execute(shown(machines.c.id == machine))).one_or_none()
    if row is None:
        raise NotFound("no such machine")
    return registered([row])[0]


async def many(connection: AsyncConnection, query: Select[Any]) -> list[Registered]:
    """All that the query finds, letting others run between slices."""
    result = await connection.execute(query)
    found: list[Registered] = []
    while rows := result.fetchmany(SLICE_ROWS):
        found += registered(rows)
        await asyncio.sleep(0)
    return found


def registered(rows: Iterable[Any]) -> list[Registered]:
    """Rows of `shown` as plain data."""
    return [
        Registered(
            id=id,
            workspace=workspace,
            workspace_name=workspace_name,
            owner=None if owner is None else Owner(owner, owner_name),
            name=name,
            hostname=hostname,
            visibility=visibility,
            version=version,
            labels={} if labels == "{}" else _LABELS.decode(labels),
            instance=instance,
            token_version=token_version,
            name_held=name_held,
            name_chosen=name_chosen,
            shadowed_by=shadowed_by,
            ephemeral=ephemeral,
            last_seen_ms=last_seen_ms,
            offline_reason=offline_reason,
            created_ms=created_ms,
            revoked_ms=revoked_ms,
            key=key,
        )
        for (
            id, workspace, workspace_name, owner, owner_name, name, hostname, visibility, version, labels, instance,
            token_version, name_held, name_chosen, shadowed_by, ephemeral, last_seen_ms, offline_reason, created_ms,
            revoked_ms, key,
        ) in rows
    ]  # fmt: skip
