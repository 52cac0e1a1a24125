"""Owns the binary frame: a fixed 32-byte header that nodes read, and a payload that they never do."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from relay.errors import Invalid

HEADER = struct.Struct(">BBHI16sQ")
HEADER_BYTES = HEADER.size  # 32
EVERYBODY = 0  # as an attachment number: all who are attached
SEQUENCE_MAX = 2**53 - 1  # browsers count in doubles; at a million frames a second this lasts 285 years


class Kind(IntEnum):
    """What a frame carries. Below 16: numbered output of a session. 16-31: numbered input. From 32: unnumbered."""

    OUTPUT = 1  # bytes of the terminal or of a command; flag STDERR tells its stream
    EXIT = 2  # the last frame of a session: JSON {"code": int|null, "signal": int|null, "reason": str|null}
    RESIZED = 3  # the terminal's size from here on: two u16, columns and rows
    INPUT = 16  # bytes for the terminal or for a command's standard input
    RESIZE = 17  # the size of this browser's window: two u16, columns and rows
    END_INPUT = 18  # standard input of a command ends here
    ACK = 32  # agent to one attachment: all input up to `sequence` is applied
    SEEN = 33  # attachment to agent: all output up to `sequence` has been handed to the screen


OUTPUT_KINDS = frozenset({Kind.OUTPUT, Kind.EXIT, Kind.RESIZED})  # what an agent numbers and keeps in its ring
FROM_AGENT = OUTPUT_KINDS | {Kind.ACK}
FROM_BROWSER = frozenset({Kind.INPUT, Kind.RESIZE, Kind.END_INPUT, Kind.SEEN})

STDERR = 0x01  # flag of OUTPUT: the bytes came from standard error

SIZE = struct.Struct(">HH")  # columns, rows


Fields = tuple[int, int, int, int, bytes, int]  # those of `Header`


class Header(NamedTuple):
    """The fields that nodes route by, in wire order. `session` is the 16 raw bytes of the session's UUID."""

    kind: int
    flags: int
    attachment: int
    epoch: int
    session: bytes
    sequence: int


def pack(header: Header, payload: bytes = b"") -> bytes:
    """One frame, ready to be sent as a binary message."""
    return HEADER.pack(*header) + payload


def read_fields(frame: bytes | memoryview, allowed: frozenset[Kind]) -> Fields:
    """What `read_header` gives, as a plain tuple: nodes do this for every frame. Raises what it raises."""
    if len(frame) < HEADER_BYTES:
        raise Invalid(f"a binary frame has at least {HEADER_BYTES} bytes, this one has {len(frame)}")
    fields: Fields = HEADER.unpack_from(frame)
    if fields[0] not in allowed:
        raise Invalid(f"kind {fields[0]} is not one that this peer may send")
    if fields[5] > SEQUENCE_MAX:
        raise Invalid(f"sequence {fields[5]} is above {SEQUENCE_MAX}")
    return fields


def read_header(frame: bytes | memoryview, allowed: frozenset[Kind]) -> Header:
    """The header of a frame; raises `Invalid` if it is short, of a kind not in `allowed`, or out of range."""
    return Header._make(read_fields(frame, allowed))


def payload(frame: bytes) -> bytes:
    """What a frame carries behind its header; only the two ends of a session may ask."""
    return frame[HEADER_BYTES:]
