"""Makes machines, records and identities for tests, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.rules.access import Identity, Role
from relay.rules.machine import Owner, Registered
from relay.rules.presence import Fence, Info, Record

NOW_MS = 1_795_341_600_123  # 2026-11-22T10:00:00.123Z
ACME = "aaaaaaaa-0000-4000-8000-000000000000"
OTHER = "bbbbbbbb-0000-4000-8000-000000000000"
JANE = Owner("00000000-0000-4000-8000-00000000000a", "Jane")
BOB = Owner("00000000-0000-4000-8000-00000000000b", "Bob")


def number(value: int) -> str:
    """An id that ends in `value`."""
    return f"00000000-0000-4000-8000-{value:012x}"


def registered(**changes: Any) -> Registered:
    """Jane's SHARED machine `mac-studio`, online when last told."""
    machine = Registered(
        id=number(1),
        workspace=ACME,
        workspace_name="acme",
        owner=JANE,
        name="mac-studio",
        hostname="mac-studio.local",
        visibility="SHARED",
        version="1.4.0",
        labels={"os": "linux"},
        instance=number(0x111),
        token_version=1,
        settled_version=1,
        name_held=True,
        name_chosen=False,
        shadowed_by=None,
        ephemeral=False,
        last_seen_ms=NOW_MS - 600_000,
        offline_reason=None,
        created_ms=NOW_MS - 86_400_000,
        revoked_ms=None,
        key=None,
    )
    return msgspec.structs.replace(machine, **changes)


def record(age_ms: int = 4_000, **changes: Any) -> Record:
    """The presence of a connected machine that was heard `age_ms` before `NOW_MS`."""
    presence = Record(
        machine=number(1),
        fence=Fence(1, NOW_MS - 60_000, "c1"),
        node="boot-1",
        heard_ms=NOW_MS - age_ms,
        deadline_ms=NOW_MS - age_ms + 90_000,
        connected=True,
        reason=None,
        info=Info(pid=4711, version="1.5.0", hostname="mac-studio.local"),
    )
    return msgspec.structs.replace(presence, **changes)


def person(role: Role | None, owner: Owner = JANE) -> Identity:
    """A person with a role in acme, or in no workspace at all."""
    return Identity("person", owner.id, owner.name, "sign-in", {ACME: role} if role else {}, {ACME: "acme"})


def key(role: Role = "member") -> Identity:
    """A workspace key of acme."""
    return Identity("key", number(0xC), "ci", number(0xC), {ACME: role}, {ACME: "acme"})
