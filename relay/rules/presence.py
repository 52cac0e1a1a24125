"""Decides presence: who owns a machine's record, which band it is in at a moment, and when that changes next."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from relay.errors import Invalid
from relay.rules import timing

State = Literal["live", "degraded", "offline"]
OfflineReason = Literal["closed", "dropped", "silent", "node-lost"]
Relation = Literal["same", "newer", "older"]

LIVE_MS = int(timing.LIVE_SECONDS * 1000)
OFFLINE_MS = int(timing.OFFLINE_SECONDS * 1000)
DROPPED_MS = int(timing.DROPPED_SECONDS * 1000)
GENERATION_AHEAD_MS = 3_600_000  # an agent's claim further ahead of Redis's clock is a broken clock or a lie


class Fence(NamedTuple):
    """Who owns a machine's presence: only the holder of the stored fence may refresh or remove the record."""

    token_version: int
    generation: int
    connection: str

    @property
    def text(self) -> str:
        """The form kept in Redis: `tokenVersion:generation:connection`."""
        version, generation, connection = self
        return f"{version}:{generation}:{connection}"

    @classmethod
    def parse(cls, text: str) -> Fence:
        """The fence that `text` wrote; raises `Invalid` for anything else."""
        token_version, _, rest = text.partition(":")
        generation, colon, connection = rest.partition(":")
        if not (colon and connection and _is_number(token_version) and _is_number(generation)):
            raise Invalid(f"not a fence: {text!r}")
        return cls(int(token_version), int(generation), connection)

    def relation(self, stored: Fence | None) -> Relation:
        """How this fence stands to the stored one: `same` refreshes, `newer` adopts, `older` is told `replaced`."""
        if stored is None:
            return "newer"
        if self == stored:
            return "same"
        return "newer" if self[:2] > stored[:2] else "older"


# None of these three can be part of a cycle, so the collector need not walk ten thousand of them.
class ActiveSession(Struct, rename="camel", gc=False):
    """The longest-attached session of a machine, and who is on it."""

    session_id: str
    started_at: str
    operator: dict[str, str]  # user, client


class Info(Struct, gc=False):
    """What an agent says of itself and a node of its attachments: shown beside the band, never deciding it."""

    pid: int | None = None
    sessions: int = 0
    active: ActiveSession | None = None
    version: str = ""
    hostname: str = ""


class Record(Struct, gc=False):
    """A machine's presence as Redis keeps it; every reader computes the band from it."""

    machine: str
    fence: Fence
    node: str  # boot id of the node that holds the socket
    heard_ms: int  # when a frame of the machine was last received, by Redis's clock
    deadline_ms: int  # offline once this has passed, unless heard again
    connected: bool  # false from a drop or goodbye until the machine is heard again
    reason: OfflineReason | None  # set by a goodbye or by the sweeper, None while the machine is there
    info: Info


def is_due(record: Record, now_ms: int) -> bool:
    """Whether the machine is offline if the shard's silence can be trusted."""
    return record.reason == "closed" or now_ms > record.deadline_ms


def state(record: Record | None, now_ms: int, settled: bool, was_offline: bool) -> State:
    """The band at `now_ms`; unsettled silence shows nothing worse than `degraded` unless `was_offline` already."""
    if record is None:
        return "offline" if settled or was_offline else "degraded"
    if record.reason == "closed":
        return "offline"  # the machine said so itself
    if now_ms > record.deadline_ms:
        return "offline" if settled or was_offline else "degraded"
    if record.connected and now_ms - record.heard_ms <= LIVE_MS:
        return "live"
    return "degraded"


def offline_reason(record: Record) -> OfflineReason:
    """Why the machine of a due record is offline, as far as the record alone tells."""
    if record.reason is not None:
        return record.reason
    return "silent" if record.connected else "dropped"


def next_change_ms(record: Record, now_ms: int) -> int | None:
    """The first moment at which the band changes if nothing more is heard, or None once the machine is offline."""
    if is_due(record, now_ms):
        return None
    if state(record, now_ms, True, False) == "live":
        return min(record.heard_ms + LIVE_MS, record.deadline_ms) + 1
    return record.deadline_ms + 1


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
