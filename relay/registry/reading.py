"""Reads machines as plain data, in slices short enough that the event loop is never held."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Text, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from relay.errors import NotFound
from relay.registry.tables import machines, people, workspaces
from relay.rules.machine import Registered

SLICE_ROWS = 250  # about half a millisecond of decoding; the loop may be held for five
GROUP_CHARACTERS = 2  # of an id: 10,000 machines make 256 groups of about 40


class _Shown(Registered, array_like=True, frozen=True, kw_only=True, gc=False):
    """A machine as the database sends it: a JSON array in the order of its fields.

    The database joins each row into one text, in its own thread or process, and msgspec makes the whole object of it in
    one step: 10,000 machines in half the time that 200,000 Python values took.
    """


class _Joined(FunctionElement[str]):
    """Columns as one JSON array; labels are JSON already."""

    inherit_cache = True
    type = Text()


class _Owner(FunctionElement[str]):
    """A person's id and name as one JSON object, or null."""

    inherit_cache = True
    type = Text()


@compiles(_Joined, "sqlite")
def _join_in_sqlite(element: _Joined, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array({_columns(element, compiler, 'json({})', options)})"


@compiles(_Joined, "postgresql")
def _join_in_postgresql(element: _Joined, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_build_array({_columns(element, compiler, '{}::json', options)})::text"


def _columns(element: _Joined, compiler: SQLCompiler, as_json: str, options: dict[str, Any]) -> str:
    texts = [(column, compiler.process(column, **options)) for column in element.clauses]
    return ", ".join(as_json.format(text) if column is machines.c.labels else text for column, text in texts)


@compiles(_Owner, "sqlite")
def _own_in_sqlite(element: _Owner, compiler: SQLCompiler, **options: Any) -> str:
    id, name = (compiler.process(column, **options) for column in element.clauses)
    return f"iif({id} IS NULL, NULL, json_object('id', {id}, 'name', {name}))"


@compiles(_Owner, "postgresql")
def _own_in_postgresql(element: _Owner, compiler: SQLCompiler, **options: Any) -> str:
    id, name = (compiler.process(column, **options) for column in element.clauses)
    return f"CASE WHEN {id} IS NOT NULL THEN json_build_object('id', {id}, 'name', {name}) END"


_SPECIAL: dict[str, ColumnElement[Any]] = {
    "workspace_name": workspaces.c.name,
    "owner": _Owner(people.c.id, people.c.name),
}
_ROW = _Joined(*[_SPECIAL[field] if field in _SPECIAL else machines.c[field] for field in _Shown.__struct_fields__])
_DECODER = msgspec.json.Decoder(_Shown, strict=False)  # SQLite's booleans are 0 and 1
_LIST_DECODER = msgspec.json.Decoder(list[_Shown], strict=False)


def shown(*conditions: ColumnElement[bool]) -> Select[str]:
    """The query for machines that meet all conditions; `registered` reads its rows."""
    return (
        select(_ROW)
        .join_from(machines, workspaces, workspaces.c.id == machines.c.workspace)
        .outerjoin(people, people.c.id == machines.c.owner)
        .where(*conditions)
    )


def registered(row: str) -> Registered:
    """A row of `shown` as plain data."""
    return _DECODER.decode(row)


async def first(connection: AsyncConnection, query: Select[str]) -> Registered | None:
    """The first that a query of `shown` finds."""
    row = (await connection.execute(query)).first()
    return None if row is None else registered(row[0])


async def one(connection: AsyncConnection, machine: str) -> Registered:
    """One machine, revoked or not; raises `NotFound`."""
    found = await first(connection, shown(machines.c.id == machine))
    if found is None:
        raise NotFound("no such machine")
    return found


async def by_id(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Registered]:
    """Some machines by their ids, revoked or not; those that are not there are left out."""
    rows = await connection.scalars(shown(machines.c.id.in_(ids)))
    return {machine.id: machine for machine in map(registered, rows)}


async def many(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Registered]:
    """All machines that meet the conditions, letting others run between slices."""
    # Rows come in up to 256 groups rather than one by one: SQLite's driver takes the interpreter's lock back for every
    # row, and beside a busy event loop 10,000 such takings take seconds.
    grouped = shown(*conditions).with_only_columns(func.aggregate_strings(_ROW, ","))
    groups = await connection.scalars(grouped.group_by(func.substr(machines.c.id, 1, GROUP_CHARACTERS)))
    found: list[Registered] = []
    slice_ends = SLICE_ROWS
    for group in groups:
        found += _LIST_DECODER.decode(f"[{group}]")
        if len(found) >= slice_ends:
            slice_ends = len(found) + SLICE_ROWS
            await asyncio.sleep(0)
    return found
