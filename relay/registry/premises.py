"""Reads all that registrations in one workspace are decided by, in as many queries for two hundred as for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import func, select

from relay.errors import RelayError
from relay.registry import naming, reading, registrars
from relay.registry.registrars import Who
from relay.registry.tables import machines, revoked_installations
from relay.registry.writing import Write
from relay.rules import names
from relay.rules.access import Identity, may
from relay.rules.machine import Registered, Visibility


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


class Wish(NamedTuple):
    """One registration that is to be decided."""

    who: Who
    new: NewMachine
    online: dict[str, bool]  # what presence said of machines that it was asked about


class Premises:
    """What a transaction that holds the workspace found; nobody changes it before that ends."""

    def __init__(self, workspace: Any) -> None:
        self.workspace: str = workspace.id
        self.policy: names.TakeoverPolicy = workspace.name_takeover
        self.machines = 0  # in the workspace
        self._registrars: dict[Who, Identity] = {}
        self._installed: dict[str, list[Registered]] = {}  # by instance, the newest first
        self._holders: dict[tuple[str, str], Registered] = {}  # by scope and folded name
        self._revoked: set[str] = set()  # instances

    def registrar(self, wish: Wish) -> Identity:
        """Who registers, with the role they have now."""
        return self._registrars[wish.who]

    def known(self, wish: Wish) -> Registered | None:
        """The newest machine of this installation that the registrar may manage."""
        registrar = self.registrar(wish)
        mine = (
            found for found in self._installed.get(wish.new.instance, ())
            if may(registrar, "take-name", self.workspace, found)
        )  # fmt: skip
        return next(mine, None)

    def wanted(self, wish: Wish, known: Registered | None) -> tuple[names.Wanted, Registered | None]:
        """The name, with who holds it; raises `Invalid` or `Conflict`. Somebody who reinstalls a machine that they had
        made SHARED need not say so."""
        owner = self.registrar(wish).person
        wanted = _wanted(wish, wish.new.visibility, owner, known)
        holder = self._holders.get((wanted.scope, names.fold(wanted.name)))
        if holder is not None or known is not None or wish.new.visibility is not None or owner is None:
            return wanted, holder
        shared = _wanted(wish, "SHARED", owner, None)
        holder = self._holders.get((shared.scope, names.fold(shared.name)))
        if holder is not None and holder.owner is not None and holder.owner.id == owner:
            return shared, holder
        return wanted, None

    def revoked(self, wish: Wish) -> bool:
        """Whether this installation was revoked."""
        return wish.new.instance in self._revoked

    async def read(self, write: Write, wishes: Sequence[Wish]) -> None:
        """Read all of it."""
        self._registrars = await registrars.current(write, self.workspace, (wish.who for wish in wishes))
        here, live = machines.c.workspace == self.workspace, machines.c.revoked_ms.is_(None)
        instances = {wish.new.instance for wish in wishes}
        installed = reading.shown(here, live, machines.c.instance.in_(instances))
        for row in await write.connection.scalars(installed.order_by(machines.c.named_ms.desc(), machines.c.id)):
            found = reading.registered(row)
            self._installed.setdefault(found.instance, []).append(found)
        places = {place for wish in wishes for place in self._asked(wish)}
        self._holders = await naming.holders(write.connection, self.workspace, places)
        gone = select(revoked_installations.c.instance).where(
            revoked_installations.c.workspace == self.workspace, revoked_installations.c.instance.in_(instances)
        )
        self._revoked = set(await write.connection.scalars(gone))
        counting = select(func.count()).select_from(machines).where(here, live)
        self.machines = (await write.connection.execute(counting)).scalar_one()

    def _asked(self, wish: Wish) -> list[tuple[str, str]]:
        """Every name that a wish may come to want, with the scope."""
        owner = self.registrar(wish).person
        try:
            wanted = _wanted(wish, wish.new.visibility, owner, self.known(wish))
        except RelayError:  # which it is told once it is decided
            return []
        folded = names.fold(wanted.name)
        return [(wanted.scope, folded), (names.SHARED_SCOPE, folded)]


def _wanted(wish: Wish, visibility: Visibility | None, owner: str | None, known: Registered | None) -> names.Wanted:
    return names.decide_wanted(wish.new.name, names.clean_hostname(wish.new.hostname), visibility, owner, known)
