"""Writes and reads records that describe themselves: who says it, which number it has, when it was said, a checksum.

One record is one line, `~WHO NUMBER MICROSECONDS PAYLOAD CHECKSUM`, in both directions. Nothing here imports more than
a program on a machine needs, which starts once for each session.
"""

from __future__ import annotations

import zlib

MARK = b"~"
END = b"\n"
LONGEST_BYTES = 6_000  # below what one input frame carries, so that a typed record is one frame
_TEXT = bytes(33 + at % 90 for at in range(3, 8 * LONGEST_BYTES, 7))
_US = 1_000_000


class Record:
    """One record as it was read."""

    __slots__ = ("number", "said_at", "who")

    def __init__(self, who: str, number: int, said_at: float) -> None:
        self.who = who
        self.number = number
        self.said_at = said_at  # monotonic seconds, which all processes of one computer share

    def __repr__(self) -> str:
        return f"{self.who}:{self.number}"


def write(seed: int, who: str, number: int, said_at: float) -> bytes:
    """The record; its size and payload follow from the seed, most small, one in eight large."""
    chance = zlib.crc32(b"%d %s %d" % (seed, who.encode(), number))
    size = chance % (LONGEST_BYTES - 200 if chance >> 24 < 32 else 400)
    start = (chance >> 8) % (len(_TEXT) - LONGEST_BYTES)
    body = b"~%s %d %d %s" % (who.encode(), number, int(said_at * _US), _TEXT[start : start + size] or b".")
    return b"%s %08x\n" % (body, zlib.crc32(body))


def read(line: bytes) -> Record | None:
    """The record in one line, its end aside; None for anything that is not exactly one."""
    body, _, checksum = line.rpartition(b" ")
    words = body.split(b" ")
    if len(words) != 4 or not body.startswith(MARK) or checksum != b"%08x" % zlib.crc32(body):
        return None
    return Record(words[0][1:].decode(), int(words[1]), int(words[2]) / _US)
