"""Describes a machine as the outside sees it: the shape that REST, sockets and CLI share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.rules import limits

Visibility = Literal["SHARED", "PRIVATE"]
State = Literal["live", "degraded", "offline"]
OfflineReason = Literal["closed", "dropped", "silent", "node-lost"]
Labels = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=limits.LABEL_CHARACTERS)],
        Annotated[str, Meta(max_length=limits.LABEL_CHARACTERS)],
    ],
    Meta(max_length=limits.LABELS_PER_MACHINE),
]


class Owner(Struct, rename="camel"):
    """The person a machine belongs to."""

    id: str
    name: str


class ActiveSession(Struct, rename="camel"):
    """The longest-attached session of a machine, and who is on it."""

    session_id: str
    started_at: str
    operator: dict[str, str]  # user, client


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
