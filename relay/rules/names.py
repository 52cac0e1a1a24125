"""Decides names: what may be one, when two are the same, and who holds a name after a registration."""

from __future__ import annotations

import unicodedata
from typing import Literal

from msgspec import Struct

from relay.errors import Conflict, Invalid
from relay.rules import ids, limits
from relay.rules.machine import Registered, Visibility
from relay.rules.quoting import quote

SHARED_SCOPE = "shared"
NAME_FORBIDDEN = ":/"  # `relay fs MACHINE:PATH` splits at the colon; a slash would promise a workspace/machine form
FALLBACK_NAME = "machine"

TakeoverPolicy = Literal["newest", "refuse-online"]


class Wanted(Struct, frozen=True, kw_only=True):
    """What a registration asks for once defaults are filled in; the registry looks up who holds `name` in `scope`."""

    name: str
    chosen: bool  # somebody set this name, now or earlier
    visibility: Visibility
    scope: str


class NewMachine(Struct, frozen=True):
    """The newcomer gets an id of its own; at its first hello it takes the name from `takes`, if given."""

    takes: Registered | None = None


class SameMachine(Struct, frozen=True):
    """The same installation registered again and stays what it was; `takes` loses the name at the next hello."""

    machine: Registered
    takes: Registered | None = None


class Successor(Struct, frozen=True):
    """The holder of the name is offline: the newcomer is that machine from now on and keeps its id."""

    machine: Registered


class NameRefused(Struct, frozen=True):
    """The name stays with `holder`: the caller may not manage it, or the workspace refuses while it is online."""

    holder: Registered


class StillRevoked(Struct, frozen=True):
    """This installation was revoked, and nobody asked to register it again."""


Decision = NewMachine | SameMachine | Successor | NameRefused | StillRevoked


class Facts(Struct, frozen=True, kw_only=True):
    """All that a registration is decided by; the registry reads these rows in one transaction."""

    wanted: Wanted
    known: Registered | None  # the machine of the same installation that the caller may manage
    revoked: bool  # the installation was revoked and has no machine since
    again: bool  # the caller asks to register after a revocation
    holder: Registered | None  # who holds the wanted name in its scope now
    holder_online: bool
    may_take: bool  # access.may(identity, "take-name", workspace, holder)
    policy: TakeoverPolicy


def fold(text: str) -> str:
    """The form in which names, hostnames and queries are compared: canonical caseless, composed."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def clean_name(text: str) -> str:
    """A machine name, trimmed and composed; raises `Invalid` for one that could not be typed, shown or found."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise Invalid("a machine name is not empty")
    if len(name) > limits.NAME_CHARACTERS:
        raise Invalid(f"a machine name has at most {limits.NAME_CHARACTERS} characters, this one has {len(name)}")
    if not name.isprintable():
        raise Invalid(f"a machine name has printable characters only: {quote(name)}")
    if any(seen in NAME_FORBIDDEN for seen in name) or name.startswith("-"):
        raise Invalid(f'a machine name has no ":" or "/" and does not begin with "-": {quote(name)}')
    if ids.canonical(name):
        raise Invalid("a machine name does not look like an id")
    return name


def clean_hostname(text: str) -> str:
    """A hostname as an agent reports it, trimmed and composed; raises `Invalid` if it is empty, long or unprintable."""
    hostname = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(hostname) <= limits.HOSTNAME_CHARACTERS:
        raise Invalid(f"a hostname has 1 to {limits.HOSTNAME_CHARACTERS} characters, this one has {len(hostname)}")
    if not hostname.isprintable():
        raise Invalid(f"a hostname has printable characters only: {quote(hostname)}")
    return hostname


def bare_hostname(hostname: str) -> str:
    """The hostname without a trailing dot and one `.local`, unless nothing would be left."""
    bare = hostname.removesuffix(".")
    if bare[-6:].lower() == ".local":
        bare = bare[:-6]
    return bare or hostname


def default_name(hostname: str) -> str:
    """The name of a machine that nobody named: its hostname, made to pass `clean_name`."""
    allowed = "".join(seen for seen in bare_hostname(hostname) if seen.isprintable() and seen not in NAME_FORBIDDEN)
    name = unicodedata.normalize("NFC", allowed)[: limits.NAME_CHARACTERS].strip().lstrip("- ")
    if ids.canonical(name):
        name = f"{FALLBACK_NAME}-{name}"
    return name or FALLBACK_NAME


def name_scope(visibility: Visibility, owner: str | None) -> str:
    """Within what a name is unique: the SHARED machines of a workspace, or the PRIVATE ones of one owner."""
    if visibility == "SHARED":
        return SHARED_SCOPE
    if owner is None:
        raise Conflict("a machine registered with a workspace key belongs to nobody and cannot be PRIVATE")
    return owner


def decide_wanted(
    name: str | None, hostname: str, visibility: Visibility | None, owner: str | None, known: Registered | None
) -> Wanted:
    """What is asked for, with defaults from the machine already known, else from hostname and credential; raises
    `Invalid` for a bad name and `Conflict` for a PRIVATE machine of nobody."""
    if known is not None:
        owner = known.owner.id if known.owner is not None else None
    shown = visibility or (known.visibility if known is not None else default_visibility(owner))
    scope = name_scope(shown, owner)
    if name is not None:
        return Wanted(name=clean_name(name), chosen=True, visibility=shown, scope=scope)
    if known is not None and known.name_chosen:
        return Wanted(name=known.name, chosen=True, visibility=shown, scope=scope)
    return Wanted(name=default_name(hostname), chosen=False, visibility=shown, scope=scope)


def default_visibility(owner: str | None) -> Visibility:
    """SHARED for a workspace key, PRIVATE for a person."""
    return "SHARED" if owner is None else "PRIVATE"


def decide_registration(facts: Facts) -> Decision:
    """Which machine a registration is, and whether it takes a name; nothing changes hands before its first hello."""
    known, holder = facts.known, facts.holder
    if facts.revoked and not facts.again:
        return StillRevoked()
    if holder is None or (known is not None and holder.id == known.id):
        return NewMachine() if known is None else SameMachine(known)
    if not facts.may_take or (facts.holder_online and facts.policy == "refuse-online"):
        if known is not None and fold(known.name) == fold(facts.wanted.name):
            return SameMachine(known)  # it lost this name earlier and runs on without it
        return NameRefused(holder)
    if known is not None:
        return SameMachine(known, takes=holder)
    return NewMachine(takes=holder) if facts.holder_online else Successor(holder)
