"""Turns what Redis holds of a machine into the records that rules decide on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from relay.rules.presence import OFFLINE_MS, Fence, Info, OfflineReason, Record
from relay.store.shard import QUIET_MS

_INFO = msgspec.json.Decoder(Info)
_INFO_ENCODER = msgspec.json.Encoder()
_REASONS: dict[str, OfflineReason] = {
    "closed": "closed",
    "dropped": "dropped",
    "silent": "silent",
    "node-lost": "node-lost",
}  # a word that is not here is `leaving`: the socket dropped and the grace runs


def encode_info(info: Info) -> str:
    """An `Info` as it is kept in Redis."""
    return _INFO_ENCODER.encode(info).decode()


class Parsed(Struct, frozen=True, gc=False):
    """A record but for its deadline, which moves with each beat, and the three texts that it was made from."""

    value: str
    place: str | None
    info: str | None
    known: Record

    def record(self, deadline_ms: int) -> Record:
        """The record of a machine that is due to be offline then; one whose socket parted has its own deadline."""
        known = self.known
        if not known.connected or known.deadline_ms == deadline_ms:
            return known
        return beaten(known, deadline_ms)


def beaten(record: Record, deadline_ms: int) -> Record:
    """The record of a connected machine after the beat that set this deadline."""
    heard_ms = deadline_ms - OFFLINE_MS
    return Record(record.machine, record.fence, record.node, heard_ms, deadline_ms, True, None, record.info)


def parse(machine: str, value: str, place: str | None, info: str | None) -> Parsed:
    """One machine's record from its texts."""
    node = place.partition(" ")[2] if place else ""
    described = _INFO.decode(info) if info else Info()
    fence, _, parted = value.partition(" ")
    if not parted:
        return Parsed(value, place, info, Record(machine, _fence(fence), node, 0, 0, True, None, described))
    reason, heard, due = parted.split(" ")
    known = Record(machine, _fence(fence), node, int(heard), int(due), False, _REASONS.get(reason), described)
    return Parsed(value, place, info, known)


def is_settled(marker: Sequence[Any], now_ms: int) -> bool:
    """Whether silence in a shard proves anything, from its marker's `flushed` and `settled`; as `settled` in Lua."""
    flushed, settled_from = marker
    if flushed is None or settled_from is None:
        return False
    return 0 <= now_ms - int(flushed) <= QUIET_MS and now_ms >= int(settled_from)


def milliseconds(time: Sequence[Any]) -> int:
    """Redis's TIME answer as Unix milliseconds."""
    seconds, microseconds = time
    return int(seconds) * 1000 + int(microseconds) // 1000


def _fence(text: str) -> Fence:
    version, generation, connection = text.split(":", 2)
    return Fence(int(version), int(generation), connection)
