"""Owns the batches that one node sends another: their bytes, their numbers, and what a missing number means."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from relay.errors import Invalid

PREFIX = struct.Struct(">16sQQI")  # the fields of `Opening`
ENTRY = struct.Struct(">BI")  # what it is, and how many bytes follow
OUTPUT = struct.Struct(">16sQ16sH")  # before frames of an agent: machine, generation, session, attachment
OUTPUT_HEAD = struct.Struct(">BI16sQ16sH")  # both of these in one
INPUT = struct.Struct(">16sQ")  # before a frame of a browser: the machine it is for, and that one's generation


class EntryKind(IntEnum):
    """What an entry of a batch carries."""

    HOP = 0  # a message from node to node, as JSON
    OUTPUT = 1  # an agent's frames for one session's attachments, ready to be written to their sockets
    ASK = 3  # nothing: say soon what you have taken
    INPUT = 4  # a frame of a browser; 2 was something else once, and stays free


_OUTPUT = int(EntryKind.OUTPUT)  # a member of an enumeration costs 0.1 µs more to pack
_pack_output_head = OUTPUT_HEAD.pack


class Opening(NamedTuple):
    """What every batch begins with, also one without entries."""

    sender: bytes  # its boot id, raw
    number: int  # of the batch on this lane, from 1
    taken: int  # number of the latest batch that the sender took from the lane that comes back; 0: none
    window: int  # how many bytes of sessions may be under way to the sender


class Arrival(Enum):
    """What the number of an arriving batch says."""

    NEXT = "next"
    REPEATED = "repeated"  # seen before: drop the batch
    GAP = "gap"  # batches before this one are lost; this one is good


def entry(kind: EntryKind, *parts: bytes) -> bytes:
    """One entry's bytes."""
    return b"".join((ENTRY.pack(kind, sum(map(len, parts))), *parts))


def output_head(machine: bytes, generation: int, session: bytes, attachment: int, length: int) -> bytes:
    """What stands before `length` bytes of ready-made frames; they follow without being copied first."""
    return _pack_output_head(_OUTPUT, OUTPUT.size + length, machine, generation, session, attachment)


def batch(sender: bytes, number: int, taken: int, window: int, pieces: Iterable[bytes]) -> bytes:
    """One batch's bytes: the fields of its `Opening`, and its entries whole or in pieces."""
    return b"".join((PREFIX.pack(sender, number, taken, window), *pieces))


def open_batch(data: bytes) -> Opening:
    """What a batch begins with; raises `Invalid`."""
    if len(data) < PREFIX.size:
        raise Invalid("a batch is shorter than its prefix")
    return Opening._make(PREFIX.unpack_from(data))


def entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    """What each entry of a batch is, and where its bytes begin and end; raises `Invalid` where the batch breaks off."""
    at, whole, unpack, size = PREFIX.size, len(data), ENTRY.unpack_from, ENTRY.size
    while at < whole:
        if whole - at < size:
            raise Invalid("a batch ends inside an entry's prefix")
        kind, length = unpack(data, at)
        at += size
        end = at + length
        if end > whole:
            raise Invalid("a batch ends inside an entry")
        yield kind, at, end
        at = end


def arrival(expected: int | None, number: int) -> Arrival:
    """What a batch means when `expected` is the next number; None when this sender was never heard."""
    if expected is None:
        return Arrival.NEXT if number == 1 else Arrival.GAP
    if number == expected:
        return Arrival.NEXT
    if number == 1:  # the sender forgot this lane and began again
        return Arrival.GAP
    return Arrival.REPEATED if number < expected else Arrival.GAP
