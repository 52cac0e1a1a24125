"""Plays a registry and a Redis of one large workspace to a directory, and counts what is read of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from relay.errors import RegistryUnavailable
from relay.node.changes import Tail
from relay.node.directory import Directory
from relay.registry import Change, Head
from relay.rules.machine import Registered, was_offline
from relay.rules.presence import Info, Record
from relay.store import Readout, Since
from relay.store.records import beaten
from tests.rules.samples import ACME, NOW_MS, number, record, registered

ONCE = Info(pid=1)


class Fleet:
    """The machines of "acme", all live; time stands still until a test moves it."""

    def __init__(self, machines: int, monkeypatch: Any) -> None:
        self.rows = {number(n): registered(id=number(n), name=f"box-{n}") for n in range(machines)}
        self.records = {id: record(0, machine=id) for id in self.rows}
        self.settled = True
        self.version = 1
        self.rung: list[str] = []
        self.table: list[Change] = []
        self.rows_read = 0  # readings of all rows
        self.row_looks = 0  # and of some
        self.rows_again: set[str] = set()  # which those were
        self.read: list[set[str]] = []  # whose records, by reading
        self.reading_rows = asyncio.Event()
        self.registry_away = False
        self.unreadable: set[str] = set()  # workspaces whose rows take too long
        self.may_read = asyncio.Event()  # and the others' are read
        self.may_read.set()
        self.loading = self.most_loading = 0  # readings of all rows at a time
        self.while_rows_are_read: Callable[[], None] = lambda: None
        self.now = 1_000.0  # monotonic seconds
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr("relay.node.directory.FEW", 0)
        registry = cast(Any, SimpleNamespace(machines=_Machines(self), changes=_Changes(self)))
        self.tail = Tail(registry)
        self.directory = Directory(registry, cast(Any, _Presence(self)), self.tail, lambda: NOW_MS)

    def change(self, kind: Any, subject: str, workspace: str = ACME) -> None:
        """A change lands in the table."""
        self.table.append(
            Change(number=len(self.table) + 1, kind=kind, workspace=workspace, subject=subject, detail={})
        )

    def rename(self, id: str, name: str) -> None:
        """A machine gets another name."""
        self.rows[id] = msgspec.structs.replace(self.rows[id], name=name)
        self.change("machine", id)

    def beat(self) -> None:
        """Everybody is heard at this moment."""
        self.records = {id: self._heard(each) for id, each in self.records.items()}

    def drop(self, id: str) -> None:
        """A socket is seen to drop, and rings."""
        self.records[id] = msgspec.structs.replace(self.records[id], connected=False)
        self.version += 1
        self.rung = [id]

    def go_back(self) -> None:
        """Redis has everybody as they once were, and rings for nobody."""
        self.records = {id: msgspec.structs.replace(each, info=ONCE) for id, each in self.records.items()}

    async def listed(self) -> dict[str, Record]:
        """The presence that a list shows."""
        return (await self.directory.machines(ACME)).records

    async def names(self) -> list[str]:
        """The names that a list shows, in its order."""
        view = await self.directory.machines(ACME)
        return [view.rows[id].name for id in view.by_name()]

    def now_ms(self) -> int:
        """Redis's clock."""
        return NOW_MS + int((self.now - 1_000.0) * 1000)

    def _heard(self, before: Record) -> Record:
        return msgspec.structs.replace(before, heard_ms=self.now_ms(), deadline_ms=self.now_ms() + 90_000)


class _Machines:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def list(self, workspaces: Sequence[str]) -> list[Registered]:
        self._fleet.rows_read += 1
        self._fleet.loading += 1
        self._fleet.most_loading = max(self._fleet.most_loading, self._fleet.loading)
        await asyncio.sleep(0)
        unreadable = not self._fleet.unreadable.isdisjoint(workspaces)
        if not unreadable:
            await self._fleet.may_read.wait()
        self._fleet.loading -= 1
        if unreadable or self._fleet.registry_away:
            raise RegistryUnavailable("the registry does not answer")
        rows = list(self._fleet.rows.values())
        self._fleet.while_rows_are_read()
        self._fleet.reading_rows.set()
        await asyncio.sleep(0)
        return rows

    async def get_many(self, ids: Sequence[str]) -> dict[str, Registered]:
        self._fleet.row_looks += 1
        self._fleet.rows_again |= set(ids)
        await asyncio.sleep(0)
        return {id: self._fleet.rows[id] for id in ids if id in self._fleet.rows}

    async def look(self, machine: str) -> Registered | None:
        return (await self.get_many([machine])).get(machine)

    async def offline(self, workspace: str) -> set[str]:
        await asyncio.sleep(0)
        return {id for id, row in self._fleet.rows.items() if was_offline(row)}

    async def former(self, workspace: str, now_ms: int) -> dict[str, tuple[str, ...]]:
        return {}


class _Changes:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def head(self) -> Head:
        if self._fleet.registry_away:
            raise RegistryUnavailable("the registry does not answer")
        table = self._fleet.table
        return Head(len(table), table[-1].mark if table else None)

    async def since(self, number: int, limit: int) -> list[Change]:
        start = max(0, number)
        return self._fleet.table[start : start + limit]


class _Presence:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def read(self, workspace: str, machines: Sequence[str]) -> Readout:
        fleet = self._fleet
        fleet.read.append(set(machines))
        await asyncio.sleep(0)
        records = {id: fleet.records[id] for id in machines if id in fleet.records}
        return Readout(fleet.now_ms(), fleet.settled, records, fleet.version)

    async def since(self, workspace: str, version: int) -> Since:
        fleet = self._fleet
        rung = fleet.rung if version < fleet.version else []
        return Since(fleet.now_ms(), fleet.settled, fleet.version, rung)

    async def beats(self, workspace: str, records: Sequence[Record]) -> list[Record]:
        due = [self._fleet.records[record.machine].deadline_ms for record in records]
        return [beaten(record, at) for record, at in zip(records, due, strict=True) if at > record.deadline_ms]
