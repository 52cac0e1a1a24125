"""Keeps machines: registers, lists, changes, revokes and marks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy import delete, select

from relay.errors import NotFound, RelayError
from relay.registry import description, reading, registration, revocation, settling, sightings
from relay.registry.audit import SYSTEM, Actor
from relay.registry.database import Database
from relay.registry.registration import IsOnline, NewMachine, Registration
from relay.registry.revocation import Revocation, Revoked
from relay.registry.settling import Settled
from relay.registry.sightings import Believed, Mark
from relay.registry.tables import former_names, machines
from relay.registry.together import Later, Together
from relay.registry.writing import commit
from relay.rules.access import Identity
from relay.rules.machine import Registered, Visibility


class Machines:
    """Every machine of every workspace, revoked ones included until they are asked for explicitly."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._registrations = registration.registrations(database)
        self._settlements = settling.settlements(database)
        self._departures = revocation.departures(database)
        self._looks = Together(self._look, database.answer_seconds)

    async def finished(self) -> None:
        """Wait until nobody registers, says hello, leaves or is looked at any more."""
        await self._registrations.finished()
        await self._settlements.finished()
        await self._departures.finished()
        await self._looks.finished()

    async def register(
        self, workspace: str, identity: Identity, new: NewMachine, is_online: IsOnline, now_ms: int
    ) -> Registration:
        """Register an agent's machine. The same installation, or a newcomer under the name of an offline machine that
        the credential may manage, *is* that machine; otherwise there is a new one, which takes its name at `settle`.
        `is_online` is asked about the holder of the name, outside any transaction. Nothing that is visible of an
        existing machine changes before `settle`. Raises `NameTaken`, `Conflict` (a key and PRIVATE), `MachineRevoked`
        (410, without `again`), `Forbidden` (no longer a member), `LimitReached`. Many at once cost hardly more than
        one, and none of them another one's refusal."""
        return await registration.register(self._registrations, workspace, identity, new, is_online, now_ms)

    async def settle(self, machine: str, token_version: int, now_ms: int) -> Settled:
        """The agent said hello with this token version for the first time: what it registered becomes visible, and
        it takes its name from whoever holds it. Again, or with an older version than settled, nothing happens.
        Raises `NotFound`, `MachineRevoked`. Many at once cost hardly more than one."""
        return await settling.settle(self._settlements, machine, token_version, now_ms)

    async def get(self, machine: str, *, revoked: bool = False) -> Registered:
        """One machine; raises `NotFound`, also for revoked ones unless asked for."""
        found = await self._database.ask(lambda connection: reading.one(connection, machine))
        if found.revoked_ms is not None and not revoked:
            raise NotFound("no such machine")
        return found

    async def look(self, machine: str) -> Registered | None:
        """One machine as of this call if it is there and not revoked; many who ask at once share a query."""
        return await self._looks.do("", machine)

    async def _look(self, _: str, ids: Sequence[str]) -> Sequence[Registered | RelayError | Later | None]:
        rows = await self.get_many(ids)
        return [rows.get(id) for id in ids]

    async def get_many(self, ids: Sequence[str]) -> dict[str, Registered]:
        """Those of these machines that exist and are not revoked, by id."""
        wanted = (machines.c.id.in_(ids), machines.c.revoked_ms.is_(None))
        found = await self._database.ask(lambda connection: reading.many(connection, *wanted))
        return {machine.id: machine for machine in found}

    async def former(self, workspace: str, now_ms: int) -> dict[str, tuple[str, ...]]:
        """Names and hostnames given up in the last 24 hours, by machine."""
        query = (
            select(former_names.c.machine, former_names.c.name)
            .where(former_names.c.workspace == workspace, former_names.c.until_ms > now_ms)
            .order_by(former_names.c.until_ms.desc(), former_names.c.name)
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in await self._database.rows(query):
            found[row.machine] = (*found.get(row.machine, ()), row.name)
        return found

    async def rename(self, machine: str, name: str, actor: Actor, now_ms: int) -> Registered:
        """Give a machine another name; the old one resolves for 24 hours more. Raises `NotFound`, `NameTaken`,
        `Invalid`."""
        return await commit(self._database, actor, now_ms, lambda write: description.rename(write, machine, name))

    async def relabel(self, machine: str, labels: dict[str, str], actor: Actor, now_ms: int) -> Registered:
        """Replace a machine's labels; raises `NotFound`."""
        return await commit(self._database, actor, now_ms, lambda write: description.relabel(write, machine, labels))

    async def set_visibility(self, machine: str, visibility: Visibility, actor: Actor, now_ms: int) -> Registered:
        """Show a machine to its workspace or to its owner alone. Raises `NotFound`, `NameTaken` if the name is held
        there, `Conflict` for PRIVATE without an owner."""
        work = partial(description.set_visibility, machine=machine, visibility=visibility)
        return await commit(self._database, actor, now_ms, work)

    async def set_hostname(self, machine: str, hostname: str, now_ms: int) -> Registered:
        """The agent's OS changed its hostname: the old one resolves for 24 hours more, and the name follows if nobody
        ever chose one and the new one is free. Raises `NotFound`."""
        work = partial(description.set_hostname, machine=machine, text=hostname)
        return await commit(self._database, SYSTEM, now_ms, work)

    async def revoke(self, machine: str, actor: Actor, now_ms: int) -> Revocation:
        """Take a machine's registration away for good and free its name; again gives the first answer with `first`
        False. Raises `NotFound`."""
        return await commit(self._database, actor, now_ms, lambda write: revocation.revoke(write, machine))

    async def leave(self, workspace: str, machine: str, now_ms: int) -> None:
        """An ephemeral machine removes itself: it is revoked, and its installation may register again unasked. One
        that is not there any more is no error. Many at once cost hardly more than one."""
        await self._departures.do(workspace, revocation.Departure(machine, now_ms))

    async def revoked(self, since: int, limit: int = 10_000) -> Revoked:
        """Machines revoked by changes after number `since`, for the mirror."""
        return await self._database.ask(lambda connection: revocation.listed(connection, since, limit))

    async def mark(self, marks: Iterable[Mark], now_ms: int) -> list[str]:
        """Store what a sweeper found, in one transaction. A mark with an older fence than stored, or older than what
        is stored under its own, changes nothing; the answer is the ids of machines that changed between online and
        offline by it, each once however often a mark arrives. Writes no `changes` row: presence has its own bell."""
        found = tuple(marks)
        return await self._database.attempt(lambda connection: sightings.mark(connection, found))

    async def believed_online(self, after: str, limit: int) -> list[Believed]:
        """Who was never told to be offline, page by page from id `after` on: a sweeper compares them with Redis, which
        may have forgotten some."""
        return await self._database.ask(lambda connection: sightings.believed_online(connection, after, limit))

    async def offline(self, workspace: str) -> set[str]:
        """Who of a workspace was offline when it was last told of, or never there: ids only."""
        return await self._database.ask(lambda connection: sightings.offline(connection, workspace))

    async def clean(self, now_ms: int) -> int:
        """Forget names and hostnames whose 24 hours are over; the answer is how many."""
        return await self._database.erase(delete(former_names).where(former_names.c.until_ms <= now_ms))

    async def list(self, workspaces: Sequence[str]) -> list[Registered]:
        """All machines of these workspaces, revoked ones aside; 10,000 without holding the event loop over 5 ms."""
        wanted = (machines.c.workspace.in_(workspaces), machines.c.revoked_ms.is_(None))
        return await self._database.ask(lambda connection: reading.many(connection, *wanted))
