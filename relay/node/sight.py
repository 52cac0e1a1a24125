"""Remembers what follows from a workspace's rows, so that lists and the resolver do not derive it at every question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from relay.rules import access, resolver
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered
from relay.rules.resolver import Candidate

AT_ONCE = 500  # machines looked at without giving the loop back: about 1 ms

Kind = tuple[str, str, str | None]  # workspace, visibility, owner


class Derived:
    """What the resolver needs of each machine; good for as long as what it was made of is the same."""

    __slots__ = ("_candidates",)

    def __init__(self) -> None:
        self._candidates: dict[str, tuple[Registered, tuple[str, ...], Candidate]] = {}

    def candidate(self, row: Registered, former: tuple[str, ...]) -> Candidate:
        """What the resolver needs of a machine."""
        known = self._candidates.get(row.id)
        if known is not None and known[0] is row and known[1] == former:
            return known[2]
        made = resolver.candidate(row, former)
        self._candidates[row.id] = (row, former, made)
        return made

    def forget(self, machine: str) -> None:
        """The machine is gone, or has another row."""
        self._candidates.pop(machine, None)


def kind_of(row: Registered) -> Kind:
    """All that access looks at in a machine."""
    return row.workspace, row.visibility, row.owner.id if row.owner is not None else None


class Sight:
    """What one identity may do with the machines of a workspace. Access looks at a machine's visibility and owner only,
    so it is asked once for each pair of them and not once for each machine."""

    __slots__ = ("_identity", "_known")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._known: dict[Kind, bytes | None] = {}

    def ending(self, kind: Kind, row: Registered) -> bytes | None:
        """How the JSON of a machine of this kind ends: with the capabilities on it. None: it does not exist for this
        identity."""
        if kind not in self._known:
            visible = access.may(self._identity, "see", row.workspace, row)
            can = access.capabilities(self._identity, row) if visible else None
            self._known[kind] = msgspec.json.encode(can) + b"}" if can is not None else None
        return self._known[kind]


def essence(machine: Machine) -> bytes:
    """What of a machine is worth telling at once: everything but the times that move with each beat."""
    return msgspec.json.encode(msgspec.structs.replace(machine, last_seen_at=None, heartbeat_age_seconds=None))


async def candidates(
    identity: Identity, rows: Mapping[str, Registered], former: Mapping[str, tuple[str, ...]], derived: Derived
) -> list[Candidate]:
    """The machines that an identity may mean."""
    sight = Sight(identity)
    found: list[Candidate] = []
    for some in slices(list(rows.values())):
        shown = [row for row in some if sight.ending(kind_of(row), row) is not None]
        found += [derived.candidate(row, former.get(row.id, ())) for row in shown]
        await asyncio.sleep(0)
    return found


def slices(all: Sequence[Registered]) -> Iterator[Sequence[Registered]]:
    """The rows, so many at a time as may be looked at in one go."""
    return (all[start : start + AT_ONCE] for start in range(0, len(all), AT_ONCE))
