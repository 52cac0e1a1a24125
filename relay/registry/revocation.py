"""Revokes machines, remembers which installations they were, and lists them for Redis's mirror."""

from __future__ import annotations

from msgspec import Struct


class Revocation(Struct, frozen=True, kw_only=True):
    """A revocation that is stored; `number` is its change, for the mirror."""

    machine: str
    workspace: str
    revoked_ms: int
    number: int
    first: bool  # False: it had been revoked before


class RevokedMachine(Struct, frozen=True):
    """One revoked machine."""

    id: str
    workspace: str
    number: int


class Revoked(Struct, frozen=True):
    """Machines revoked after the asked number, up to and including change `upto`; ask again from there while `more`."""

    machines: list[RevokedMachine]
    upto: int
    more: bool
