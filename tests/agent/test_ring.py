"""Tests what a ring keeps, what it drops, and how it counts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.agent.ring import Ring, addressed
from relay.rules import frames, limits
from relay.rules.frames import Kind
from tests.agent.scene import EPOCH, RAW, header

SMALL = limits.CHUNK_BYTES + frames.HEADER_BYTES


def test_frames_are_numbered_from_one_and_are_for_everybody() -> None:
    ring = Ring(RAW, EPOCH)
    first, second = ring.append(Kind.OUTPUT, b"one"), ring.append(Kind.OUTPUT, b"two", frames.STDERR)
    assert header(first) == (Kind.OUTPUT, 0, frames.EVERYBODY, EPOCH, RAW, 1)
    assert header(second) == (Kind.OUTPUT, frames.STDERR, frames.EVERYBODY, EPOCH, RAW, 2)
    assert ring.since(0) == [first, second]
    assert ring.since(1) == [second]
    assert ring.since(2) == []


def test_an_empty_ring_begins_at_the_next_frame() -> None:
    ring = Ring(RAW, EPOCH)
    assert (ring.first, ring.head, ring.end) == (1, 0, 0)
    assert ring.position(0) == 0
    assert ring.position(1) is None


def test_the_oldest_frames_go_when_the_bytes_are_too_many() -> None:
    ring = Ring(RAW, EPOCH, SMALL)
    for _ in range(4):
        ring.append(Kind.OUTPUT, b"x" * 10_000)
    assert (ring.first, ring.head) == (2, 4)
    assert ring.end - ring.base == 3 * (10_000 + frames.HEADER_BYTES)
    assert ring.position(0) is None
    assert ring.position(1) == ring.base


def test_a_frame_for_one_attachment_differs_in_nothing_else() -> None:
    frame = Ring(RAW, EPOCH).append(Kind.OUTPUT, b"text")
    assert header(addressed(frame, 513))._replace(attachment=0) == header(frame)
    assert header(addressed(frame, 513)).attachment == 513
    assert frames.payload(addressed(frame, 513)) == b"text"


def test_the_tail_is_the_newest_frames_that_fit() -> None:
    ring = Ring(RAW, EPOCH)
    for _ in range(5):
        ring.append(Kind.OUTPUT, b"x" * 68)  # 100 bytes with the header
    assert ring.tail(250) == 4
    assert ring.tail(500) == 1
    assert ring.tail(99) == 6


@settings(derandomize=True, deadline=None)
@given(sizes=st.lists(st.integers(0, 12_000), max_size=40))
def test_whatever_is_written_the_ring_is_bounded_and_its_numbers_fit_together(sizes: list[int]) -> None:
    ring = Ring(RAW, EPOCH, SMALL)
    written = [ring.append(Kind.OUTPUT, bytes(size)) for size in sizes]
    kept = ring.since(0)
    assert kept == written[ring.first - 1 :]
    assert sum(map(len, kept)) == ring.end - ring.base <= SMALL
    assert ring.head == len(sizes)
    for sequence in range(ring.first, ring.head + 1):
        before, behind = ring.position(sequence - 1), ring.position(sequence)
        assert before is not None
        assert behind is not None
        assert behind - before == len(ring.frame(sequence))
