"""Registers machines: who becomes which machine, and who holds the name once the agent has said hello."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from relay.rules.machine import Registered, Visibility

IsOnline = Callable[
    [str], Awaitable[bool]
]  # whether the machine with this id is online; asked of presence by the caller


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


class Registration(Struct, frozen=True):
    """The machine an agent is now, and the token version its machine token is made with."""

    machine: Registered
    token_version: int
    created: bool


class Settled(Struct, frozen=True):
    """A machine after its agent's first hello with a token version, and the machine that lost its name to it."""

    machine: Registered
    shadowed: Registered | None
