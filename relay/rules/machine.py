"""Describes a machine as the outside sees it: the shape that REST, sockets and CLI share."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.rules import limits, presence
from relay.rules.presence import ActiveSession as ActiveSession
from relay.rules.presence import OfflineReason as OfflineReason
from relay.rules.presence import Record
from relay.rules.presence import State as State

Visibility = Literal["SHARED", "PRIVATE"]
Labels = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=limits.LABEL_CHARACTERS)],
        Annotated[str, Meta(max_length=limits.LABEL_CHARACTERS)],
    ],
    Meta(max_length=limits.LABELS_PER_MACHINE),
]


# A node keeps ten thousand of these two for a workspace; none can be part of a cycle, so the collector need not look.
class Owner(Struct, rename="camel", gc=False):
    """The person a machine belongs to."""

    id: str
    name: str


class Registered(Struct, frozen=True, kw_only=True, gc=False):
    """What the registry keeps of a machine; presence is not in it, only what was last told of it."""

    id: str
    workspace: str
    workspace_name: str
    owner: Owner | None  # None: registered with a workspace key
    name: str
    hostname: str
    visibility: Visibility
    version: str
    labels: dict[str, str]
    instance: str  # the installation that registered, made once per machine.json
    token_version: int
    settled_version: int  # of the token: the highest that said hello, as far as whoever read this knows
    name_held: bool  # False: another machine took the name, or this one has yet to take it at its first hello
    name_chosen: bool  # somebody set the name, so it does not follow the hostname
    shadowed_by: str | None  # the id of the machine that took the name
    ephemeral: bool
    last_seen_ms: int | None  # None: never connected
    offline_reason: OfflineReason | None  # None: was online when last told
    created_ms: int
    revoked_ms: int | None
    key: str | None  # the workspace key that registered it


class Machine(Struct, rename="camel", kw_only=True):
    """One machine with its presence as of one moment; times are ISO 8601 UTC with milliseconds."""

    id: str
    name: str
    hostname: str
    workspace_id: str
    workspace_name: str
    owner: Owner | None
    visibility: Visibility
    version: str
    pid: int | None
    online: bool
    state: State
    connected: bool
    last_seen_at: str | None
    heartbeat_age_seconds: int | None
    offline_reason: OfflineReason | None
    labels: dict[str, str]
    active_session: ActiveSession | None
    sessions: int
    created_at: str
    shadowed_by: str | None = None  # the id of the machine that took the name
    can: list[str] = []  # what you may do with it: "watch", "drive", "manage"


def as_dict(machine: Machine) -> dict[str, Any]:
    """The machine as JSON-ready data in camelCase."""
    return msgspec.to_builtins(machine)  # type: ignore[no-any-return]


def iso(ms: int) -> str:
    """A moment in milliseconds since 1970 as ISO 8601 UTC, such as `2026-11-22T10:00:00.123Z`."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


# Ten thousand machines of one list were heard within a minute and a half: writing a second once halves the list's time.
@lru_cache(maxsize=1_024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def state_of(registered: Registered, record: Record | None, now_ms: int, settled: bool) -> State:
    """The band of a machine: from its record, or from what the registry was last told if Redis has none."""
    return presence.state(record, now_ms, settled, was_offline(registered))


def describe(registered: Registered, record: Record | None, now_ms: int, settled: bool, can: list[str]) -> Machine:
    """The machine as of `now_ms`; everything that only a running agent knows is empty while it is offline."""
    machine = timeless(registered, record, state_of(registered, record, now_ms, settled), can)
    heard_ms = record.heard_ms if record is not None else registered.last_seen_ms
    if heard_ms is not None:
        machine.last_seen_at = iso(heard_ms)
        machine.heartbeat_age_seconds = max(0, now_ms - heard_ms) // 1000
    return machine


def timeless(registered: Registered, record: Record | None, state: State, can: list[str]) -> Machine:
    """The machine in this band, but for the two times that move with each beat."""
    online = state != "offline"
    info = record.info if record is not None and online else None
    return Machine(
        id=registered.id,
        name=registered.name,
        hostname=registered.hostname,
        workspace_id=registered.workspace,
        workspace_name=registered.workspace_name,
        owner=registered.owner,
        visibility=registered.visibility,
        version=(info.version if info is not None else "") or registered.version,
        pid=info.pid if info is not None else None,
        online=online,
        state=state,
        connected=online and record is not None and record.connected,
        last_seen_at=None,
        heartbeat_age_seconds=None,
        offline_reason=None if online else _why_offline(registered, record),
        labels=registered.labels,
        active_session=info.active if info is not None else None,
        sessions=info.sessions if info is not None else 0,
        created_at=iso(registered.created_ms),
        shadowed_by=registered.shadowed_by,
        can=can,
    )


def was_offline(registered: Registered) -> bool:
    """A machine that was never seen counts as offline: a Redis that lost its memory cannot have lost that one."""
    return registered.offline_reason is not None or registered.last_seen_ms is None


def _why_offline(registered: Registered, record: Record | None) -> OfflineReason | None:
    if record is not None:
        return record.reason or registered.offline_reason or presence.offline_reason(record)
    if registered.offline_reason is None and registered.last_seen_ms is not None:
        return "silent"  # it was there, its record is gone, and it did not come back to announce itself
    return registered.offline_reason
