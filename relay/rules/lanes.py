"""Owns the batches that one node sends another: their bytes, their numbers, and what a missing number means."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from relay.errors import Invalid

PREFIX = struct.Struct(">16sQ")  # the sender's boot id, and the batch's number on this lane, from 1
ENTRY = struct.Struct(">BI")  # what it is, and how many bytes follow
OUTPUT = struct.Struct(">16sQ")  # before a frame of an agent: its machine, and the generation of its connection
MACHINE_BYTES = 16  # before a frame of a browser: the machine it is for


class EntryKind(IntEnum):
    """What an entry of a batch carries."""

    HOP = 0  # a message from node to node, as JSON
    OUTPUT = 1  # a frame of an agent
    INPUT = 2  # a frame of a browser


class Entry(NamedTuple):
    """One entry of a batch, its body a view into the batch's own bytes."""

    kind: int
    body: memoryview


class Arrival(Enum):
    """What the number of an arriving batch says."""

    NEXT = "next"
    REPEATED = "repeated"  # seen before: drop the batch
    GAP = "gap"  # batches before this one are lost; this one is good


def entry(kind: EntryKind, *parts: bytes) -> bytes:
    """One entry's bytes."""
    return b"".join((ENTRY.pack(kind, sum(map(len, parts))), *parts))


def batch(sender: bytes, number: int, entries: list[bytes]) -> bytes:
    """One batch's bytes; without entries it only says that the sender is alive and what its number is."""
    return b"".join((PREFIX.pack(sender, number), *entries))


def open_batch(data: bytes) -> tuple[bytes, int, Iterator[Entry]]:
    """A batch's sender, number and entries; raises `Invalid`, for the entries when they are walked."""
    if len(data) < PREFIX.size:
        raise Invalid("a batch is shorter than its prefix")
    sender, number = PREFIX.unpack_from(data)
    return sender, number, _entries(memoryview(data), PREFIX.size)


def _entries(data: memoryview, at: int) -> Iterator[Entry]:
    while at < len(data):
        if len(data) - at < ENTRY.size:
            raise Invalid("a batch ends inside an entry's prefix")
        kind, length = ENTRY.unpack_from(data, at)
        at += ENTRY.size
        if len(data) - at < length:
            raise Invalid("a batch ends inside an entry")
        yield Entry(kind, data[at : at + length])
        at += length


def arrival(expected: int | None, number: int) -> Arrival:
    """What a batch means when `expected` is the next number; None when this sender was never heard."""
    if expected is None:
        return Arrival.NEXT if number == 1 else Arrival.GAP
    if number == expected:
        return Arrival.NEXT
    if number == 1:  # the sender forgot this lane and began again
        return Arrival.GAP
    return Arrival.REPEATED if number < expected else Arrival.GAP
