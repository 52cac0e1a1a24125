"""Marks when machines were last seen and why they left, in batches and at most once each."""

from __future__ import annotations

from msgspec import Struct

from relay.rules.machine import OfflineReason


class Mark(Struct, frozen=True):
    """What a sweeper found: a machine went offline (`reason`), or is online again (None), under a fence."""

    machine: str
    last_seen_ms: int
    reason: OfflineReason | None
    fence: str  # as text: "tokenversion:generation:connection"
