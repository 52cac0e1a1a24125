"""Writes what is carried under load and reads it again: when it was due, and text that must arrive unchanged."""

from __future__ import annotations

import struct

HEAD = struct.Struct(">cd")  # what it is, and when it was due on the monotonic clock of this host
OUTPUT, ECHO, TYPED = b"o", b"e", b"t"
LEAST_BYTES = HEAD.size
_TEXT = b"the quick brown fox jumps over the lazy dog 0123456789 " * 1_192  # as long as a frame may be, and more
_filler: dict[int, bytes] = {}  # by length; a run has one or two


def write(kind: bytes, due: float, size: int) -> bytes:
    """A payload of so many bytes."""
    return HEAD.pack(kind, due) + filler(max(0, size - LEAST_BYTES))


def again(payload: bytes, kind: bytes) -> bytes:
    """The same payload as another kind: an echo keeps the moment at which it was due to be typed."""
    return kind + payload[1:]


def read(payload: bytes) -> tuple[bytes, float] | None:
    """What it is and when it was due, or None if it arrived changed."""
    if len(payload) < LEAST_BYTES or payload[LEAST_BYTES:] != filler(len(payload) - LEAST_BYTES):
        return None
    kind, due = HEAD.unpack_from(payload)
    return kind, due


def filler(size: int) -> bytes:
    """Text of that length, always the same."""
    found = _filler.get(size)
    if found is None:
        found = _filler[size] = _TEXT[:size]
    return found
