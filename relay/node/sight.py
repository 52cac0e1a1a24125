"""Remembers what follows from a workspace's rows, so that lists and the resolver do not derive it at every question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from relay.rules import access, resolver
from relay.rules import machine as rules
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered
from relay.rules.presence import Record
from relay.rules.resolver import Candidate

AT_ONCE = 500  # machines looked at without giving the loop back: about 1 ms
TAGS = 256  # kinds of askers whose tags are remembered per workspace


class Described(NamedTuple):
    """A machine as it was last described, and what it was made of."""

    told: tuple[object, ...]
    machine: Machine
    essence: bytes  # a digest of all but its times


class Derived:
    """What is made of single rows and of whole lists; each is good for as long as what it was made of is the same."""

    __slots__ = ("_candidates", "_machines", "tags")

    def __init__(self) -> None:
        self._candidates: dict[str, tuple[Registered, tuple[str, ...], Candidate]] = {}
        self._machines: dict[tuple[str, ...], dict[str, Described]] = {}
        self.tags: dict[object, tuple[object, bytes]] = {}

    def candidate(self, row: Registered, former: tuple[str, ...]) -> Candidate:
        """What the resolver needs of a machine."""
        known = self._candidates.get(row.id)
        if known is not None and known[0] is row and known[1] == former:
            return known[2]
        made = resolver.candidate(row, former)
        self._candidates[row.id] = (row, former, made)
        return made

    def described(
        self, row: Registered, record: Record | None, can: list[str], now_ms: int, settled: bool
    ) -> Described:
        """A machine as the outside sees it at `now_ms`; what did not change since the last time is not written anew.
        The answer is everybody's: encode it, and do not change it."""
        state = rules.state_of(row, record, now_ms, settled)
        told = (row, state, record.connected, record.reason, record.info) if record is not None else (row, state)
        known = self._machines.setdefault(tuple(can), {})
        before = known.get(row.id)
        if before is None or before.told != told:
            machine = rules.describe(row, record, now_ms, settled, can)
            made = known[row.id] = Described(told, machine, blake2b(essence(machine), digest_size=8).digest())
            return made
        if record is not None:
            before.machine.last_seen_at = rules.iso(record.heard_ms)
            before.machine.heartbeat_age_seconds = max(0, now_ms - record.heard_ms) // 1000
        return before

    def forget(self, machine: str) -> None:
        """The machine is gone, or has another row."""
        self._candidates.pop(machine, None)
        for known in self._machines.values():
            known.pop(machine, None)

    def remember_tag(self, asker: object, made_of: object, tag: bytes) -> None:
        """Keep a tag for as long as it is made of the same."""
        if len(self.tags) >= TAGS:
            self.tags.clear()
        self.tags[asker] = (made_of, tag)


class Sight:
    """What one identity may do with the machines of a workspace. Access looks at a machine's visibility and owner only,
    so it is asked once for each pair of them and not once for each machine."""

    __slots__ = ("_identity", "_known")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._known: dict[tuple[str, str, str | None], list[str] | None] = {}

    def can(self, row: Registered) -> list[str] | None:
        """The capabilities on a machine; None: it does not exist for this identity."""
        kind = (row.workspace, row.visibility, row.owner.id if row.owner is not None else None)
        if kind not in self._known:
            visible = access.may(self._identity, "see", row.workspace, row)
            self._known[kind] = access.capabilities(self._identity, row) if visible else None
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
        found += [derived.candidate(row, former.get(row.id, ())) for row in some if sight.can(row) is not None]
        await asyncio.sleep(0)
    return found


def slices(all: Sequence[Registered]) -> Iterator[Sequence[Registered]]:
    """The rows, so many at a time as may be looked at in one go."""
    return (all[start : start + AT_ONCE] for start in range(0, len(all), AT_ONCE))
