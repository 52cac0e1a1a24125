"""Keeps machines: registers, lists, changes, revokes and marks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.registration import IsOnline, NewMachine, Registration, Settled
from relay.registry.revocation import Revocation, Revoked
from relay.registry.sightings import Mark
from relay.rules.access import Identity
from relay.rules.machine import Registered, Visibility


class Machines:
    """Every machine of every workspace, revoked ones included until they are asked for explicitly."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self, workspace: str, identity: Identity, new: NewMachine, is_online: IsOnline, now_ms: int
    ) -> Registration:
        """Register an agent's machine. The same installation, or a newcomer under the name of an offline machine that
        the credential may manage, *is* that machine; otherwise there is a new one, which takes its name at `settle`.
        `is_online` is asked about the holder of the name, outside any transaction. Nothing that is visible of an
        existing machine changes before `settle`. Raises `NameTaken`, `Conflict` (a key and PRIVATE), `MachineRevoked`
        (410, without `again`), `Forbidden` (no longer a member), `LimitReached`."""
        raise NotImplementedError

    async def settle(self, machine: str, token_version: int, now_ms: int) -> Settled:
        """The agent said hello with this token version for the first time: what it registered becomes visible, and
        it takes its name from whoever holds it. Again, or with an older version than settled, nothing happens.
        Raises `NotFound`, `MachineRevoked`."""
        raise NotImplementedError

    async def get(self, machine: str, *, revoked: bool = False) -> Registered:
        """One machine; raises `NotFound`, also for revoked ones unless asked for."""
        raise NotImplementedError

    async def get_many(self, machines: Sequence[str]) -> dict[str, Registered]:
        """Those of these machines that exist and are not revoked, by id."""
        raise NotImplementedError

    async def list(self, workspaces: Sequence[str]) -> list[Registered]:
        """All machines of these workspaces, revoked ones aside; 10,000 without holding the event loop over 5 ms."""
        raise NotImplementedError

    async def former(self, workspace: str, now_ms: int) -> dict[str, tuple[str, ...]]:
        """Names and hostnames given up in the last 24 hours, by machine."""
        raise NotImplementedError

    async def rename(self, machine: str, name: str, actor: Actor, now_ms: int) -> Registered:
        """Give a machine another name; the old one resolves for 24 hours more. Raises `NotFound`, `NameTaken`,
        `Invalid`."""
        raise NotImplementedError

    async def relabel(self, machine: str, labels: dict[str, str], actor: Actor, now_ms: int) -> Registered:
        """Replace a machine's labels; raises `NotFound`."""
        raise NotImplementedError

    async def set_visibility(self, machine: str, visibility: Visibility, actor: Actor, now_ms: int) -> Registered:
        """Show a machine to its workspace or to its owner alone. Raises `NotFound`, `NameTaken` if the name is held
        there, `Conflict` for PRIVATE without an owner."""
        raise NotImplementedError

    async def set_hostname(self, machine: str, hostname: str, now_ms: int) -> Registered:
        """The agent's OS changed its hostname: the old one resolves for 24 hours more, and the name follows if nobody
        ever chose one and the new one is free. Raises `NotFound`."""
        raise NotImplementedError

    async def revoke(self, machine: str, actor: Actor, now_ms: int) -> Revocation:
        """Take a machine's registration away for good and free its name; again gives the first answer with `first`
        False. Raises `NotFound`."""
        raise NotImplementedError

    async def revoked(self, since: int, limit: int = 10_000) -> Revoked:
        """Machines revoked by changes after number `since`, for the mirror."""
        raise NotImplementedError

    async def mark(self, marks: Iterable[Mark], now_ms: int) -> list[str]:
        """Store what a sweeper found, in one transaction. A mark with an older fence than stored, or older than what
        is stored under its own, changes nothing; the answer is the ids of machines that changed between online and
        offline by it, each once however often a mark arrives. Writes no `changes` row: presence has its own bell."""
        raise NotImplementedError

    async def clean(self, now_ms: int) -> int:
        """Forget names and hostnames whose 24 hours are over; the answer is how many."""
        raise NotImplementedError
