"""Holds our WebSocket reader to the sans-I/O core of the package `websockets`: same bytes, same cuts, same outcome.

After every piece of a stream both must have said the same: so not only what is decided is compared, but also when.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from relay.rules.websocket import BINARY, CLOSE, CONTINUATION, FAILED, PING, PONG, TEXT, Event, Reader, read_close
from tests.support.client_stream import FINAL, client_frame

CONTROL_BYTES = 125
BOUNDARY_SIZES = (0, 1, 2, 7, 8, 124, 125, 126, 127, 160, 65_535, 65_536)
LIMITS_BYTES = (1, 125, 126, 200, 65_535, 65_536, 70_000)
EXAMPLES = int(os.environ.get("WEBSOCKET_EXAMPLES", "150"))  # 100,000 take an hour
thorough = settings(derandomize=True, deadline=None, database=None, max_examples=EXAMPLES)

EDGES = (1_999, 2_000, 2_999, 3_000, 3_999, 4_000, 4_999, 5_000, 5_001)  # of what a close code may be

Said = tuple[int, bytes | int]  # (opcode, payload), (CLOSE, code) or (FAILED, code)


class Limited(StreamReader):
    """A stream of the reference's that sets the limit of each frame by its kind.

    The reference takes control frames out of what a message has left. Ours have a limit of their own, so here too.
    """

    def __init__(self, protocol: ServerProtocol, limit_bytes: int) -> None:
        super().__init__()
        self.protocol, self.limit_bytes, self.control = protocol, limit_bytes, False

    def at_eof(self) -> Generator[None, None, bool]:
        """Where the reference waits for the first byte of its next frame."""
        ended = yield from super().at_eof()
        if self.protocol.state is State.OPEN:  # afterwards it only throws away what comes
            self.control = bool(self.buffer[0] & CLOSE)
            begun_bytes = self.protocol.current_size or 0
            self.protocol.max_message_size = CONTROL_BYTES + begun_bytes if self.control else self.limit_bytes
        return ended


class Reference:
    """The reference on the server's side of an open socket, and its messages put together as a server does it."""

    def __init__(self, limit_bytes: int) -> None:
        self.core = ServerProtocol(state=State.OPEN, max_size=limit_bytes)
        self.stream = Limited(self.core, limit_bytes)
        self.core.reader, self.core.parser = self.stream, self.core.parse()
        next(self.core.parser)
        self.parts: list[bytes] = []
        self.opcode = 0
        self.over = False

    def feed(self, data: bytes) -> list[Said]:
        """What it says to one piece."""
        if self.over:
            return []
        self.core.receive_data(data)
        said: list[Said] = []
        for event in self.core.events_received():
            assert isinstance(event, Frame)
            said += self._whole(event)
            if self.over:
                return said
        if (error := self.core.parser_exc) is not None:
            assert self.core.close_sent is not None
            code = int(self.core.close_sent.code)
            # A long control frame breaks the framing; that it is told apart at its header is what `Limited` is for.
            said.append((FAILED, 1002 if self.stream.control and isinstance(error, PayloadTooBig) else code))
            self.over = True
        return said

    def _whole(self, part: Frame) -> list[Said]:
        payload = bytes(part.data)
        if part.opcode is Opcode.CLOSE:
            self.over = True
            return [(CLOSE, int(Close.parse(payload).code)), (CLOSE, payload)]
        if part.opcode in (Opcode.PING, Opcode.PONG):
            return [(int(part.opcode), payload)]
        if part.opcode is not Opcode.CONT:
            self.opcode = int(part.opcode)
        self.parts.append(payload)
        if not part.fin:
            return []
        payload, self.parts = b"".join(self.parts), []
        if self.opcode == TEXT:
            try:
                payload.decode()
            except UnicodeDecodeError:  # the core leaves this to its user, who closes by 1007
                self.over = True
                return [(FAILED, 1007)]
        return [(self.opcode, payload)]


def said(event: Event) -> list[Said]:
    """What our reader says, in the words of the comparison: of failures the code alone, as reasons are ours."""
    opcode, payload = event
    if opcode == CLOSE:
        return [(CLOSE, read_close(payload)[0]), (CLOSE, payload)]
    return [(FAILED, read_close(payload)[0])] if opcode == FAILED else [(opcode, payload)]


def compare(stream: bytes, cuts: list[int], limit_bytes: int) -> list[Said]:
    """Feed both the same pieces; everything that both said."""
    ours, reference = Reader(limit_bytes), Reference(limit_bytes)
    everything: list[Said] = []
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, stop in pairwise(places):
        expected = reference.feed(stream[start:stop])
        assert [word for event in ours.feed(stream[start:stop]) for word in said(event)] == expected
        assert ours.over == reference.over
        everything += expected
    return everything


def filled(size: int, seed: bytes) -> bytes:
    """A payload of a size: some bytes again and again, as it is not about what is in them."""
    return (seed * (size // len(seed) + 1))[:size]


TEXTS = st.sampled_from(["hello", "läuft", "€", "\U0001f980", "\0"]).map(str.encode)
BAD_TEXTS = st.sampled_from([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"])
SEEDS = st.one_of(TEXTS, TEXTS, BAD_TEXTS, st.binary(min_size=1, max_size=9))
MASKS = st.one_of(st.just(bytes(4)), st.binary(min_size=4, max_size=4))
CLOSE_CODES = st.one_of(st.sampled_from([1000, 1001, 1004, 1005, 1006, 1014, 1015, 2999, 4001]), st.integers(0, 65_535))


def sizes(limit_bytes: int) -> st.SearchStrategy[int]:
    """Sizes of a payload: those at which something changes, more often than others."""
    near = [*BOUNDARY_SIZES, limit_bytes // 2, limit_bytes - 1, limit_bytes, limit_bytes + 1]
    met = [size for size in near if size <= limit_bytes + CONTROL_BYTES + 1]  # larger ones would be large for nothing
    return st.one_of(st.integers(0, 20), st.sampled_from(met), st.integers(0, limit_bytes))


@st.composite
def close_bodies(draw: st.DrawFn) -> bytes:
    """What a close frame carries, right or wrong."""
    body = draw(CLOSE_CODES).to_bytes(2, "big") + draw(st.one_of(st.just(b""), TEXTS, SEEDS))
    return body[: draw(st.sampled_from([0, 1, 2, 200, 200, 200]))]


@st.composite
def right_frames(draw: st.DrawFn, limit_bytes: int) -> bytes:
    """A message in one or several fragments, with control frames before, between and behind them."""
    payload = filled(draw(sizes(limit_bytes)), draw(SEEDS))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    opcode = draw(st.sampled_from([TEXT, BINARY, BINARY]))
    frames = []
    for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        while draw(st.integers(0, 3)) == 3:
            beat = filled(draw(st.sampled_from([0, 4, CONTROL_BYTES])), draw(SEEDS))
            frames.append(client_frame(FINAL | draw(st.sampled_from([PING, PONG])), beat, mask=draw(MASKS)))
        frames.append(client_frame(opcode, payload[start:stop], mask=draw(MASKS)))
        opcode = CONTINUATION
    final = bytes([frames[-1][0] | FINAL]) + frames[-1][1:]
    return b"".join([*frames[:-1], draw(st.sampled_from([final, final, final, frames[-1]]))])


@st.composite
def usual_frames(draw: st.DrawFn, limit_bytes: int) -> bytes:
    """A whole binary message, for which our reader has a way of its own."""
    return client_frame(FINAL | BINARY, filled(draw(sizes(limit_bytes)), draw(SEEDS)), mask=draw(MASKS))


@st.composite
def any_frames(draw: st.DrawFn, limit_bytes: int) -> bytes:
    """One frame that may be wrong in its first byte, its mask, its size, the width of its size, and its kind here."""
    opcode = draw(st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, CLOSE, PING, PONG, 3, 11]))
    first = opcode | draw(st.sampled_from([FINAL, FINAL, FINAL, 0]))
    first |= draw(st.sampled_from([0, 0, 0, 0, 0x10, 0x20, 0x40]))
    payload = draw(close_bodies()) if opcode == CLOSE else filled(draw(sizes(limit_bytes)), draw(SEEDS))
    mask = draw(st.sampled_from([True, True, True, True, True, False]))
    bits = draw(st.sampled_from([0, 0, 16, 64]))
    lie = draw(st.sampled_from([None] * 5 + [2**63, 2**64 - 1, 2**32]))
    if lie is not None or (bits == 16 and len(payload) > 65_535):
        bits = 64
    return client_frame(first, payload, mask=draw(MASKS) if mask else None, bits=bits, size=lie)


@st.composite
def streams(draw: st.DrawFn, limit_bytes: int) -> bytes:
    """What a client might send: mostly right, so that what is wrong is met in every state."""
    frame = st.one_of(usual_frames(limit_bytes), right_frames(limit_bytes), any_frames(limit_bytes))
    stream = b"".join(draw(st.lists(frame, min_size=1, max_size=6)))
    return stream + draw(st.one_of(st.just(b""), st.binary(max_size=20)))


CUTS = st.lists(st.integers(0, 2**18), max_size=12)


@thorough
@given(data=st.data(), limit_bytes=st.sampled_from(LIMITS_BYTES), cuts=CUTS)
def test_whatever_a_client_sends_is_read_as_the_reference_reads_it(
    data: st.DataObject, limit_bytes: int, cuts: list[int]
) -> None:
    compare(data.draw(streams(limit_bytes)), cuts, limit_bytes)


@thorough
@given(data=st.data(), limit_bytes=st.sampled_from([1, 10, 125, 200]))
def test_a_stream_that_comes_byte_by_byte_is_decided_at_the_same_byte(data: st.DataObject, limit_bytes: int) -> None:
    stream = data.draw(streams(limit_bytes))[:2_000]
    compare(stream, list(range(len(stream))), limit_bytes)


@thorough
@given(stream=st.binary(max_size=300), cuts=CUTS, limit_bytes=st.sampled_from(LIMITS_BYTES))
@example(stream=b"", cuts=[], limit_bytes=1)
def test_noise_is_read_as_the_reference_reads_it(stream: bytes, cuts: list[int], limit_bytes: int) -> None:
    compare(stream, cuts, limit_bytes)


def test_every_first_byte_is_judged_as_the_reference_judges_it_in_and_out_of_a_message() -> None:
    outcomes: set[tuple[bytes | int, ...]] = set()
    for first in range(256):
        for size in (0, 1, 2, CONTROL_BYTES, CONTROL_BYTES + 1):
            for mask in (bytes(4), None):
                for begun in (b"", client_frame(TEXT, b"a"), client_frame(BINARY, b"a" * CONTROL_BYTES)):
                    stream = begun + client_frame(first, b"\x03\xe8".ljust(size, b"a")[:size], mask=mask)
                    everything = compare(stream + client_frame(FINAL | PING, b"behind"), [len(begun)], 200)
                    outcomes.update(word if word[0] == FAILED else word[:1] for word in everything)
    failures = {(FAILED, 1002), (FAILED, 1007), (FAILED, 1009)}
    assert outcomes == {(TEXT,), (BINARY,), (CLOSE,), (PING,), (PONG,), *failures}


def test_every_close_code_is_judged_as_the_reference_judges_it() -> None:
    judged = [
        compare(client_frame(FINAL | CLOSE, code.to_bytes(2, "big") + reason), [], 200)[0][0]
        for code in [*range(0, 999, 37), *range(999, 1_120), *range(1_120, 5_002, 20), *EDGES, 65_535]
        for reason in (b"", b"\xff")
    ]
    assert set(judged) == {CLOSE, FAILED}
    assert compare(client_frame(FINAL | CLOSE, b"\x03"), [], 200) == [(FAILED, 1002)]


def test_a_stream_of_all_kinds_may_be_cut_anywhere() -> None:
    parts = [(TEXT, "l€".encode()[:2]), (FINAL | PING, b"?"), (CONTINUATION, b""), (FINAL, "l€".encode()[2:])]
    whole = [(FINAL | BINARY, b"a" * 9), (FINAL | BINARY, b"b" * 130), (FINAL | TEXT, b"c"), (FINAL | PONG, b"!")]
    stream = b"".join(client_frame(first, payload) for first, payload in [*whole, *parts, *whole, (FINAL | CLOSE, b"")])
    outcomes = [compare(stream, [cut], 200) for cut in range(len(stream))]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0][-1] == (CLOSE, b"")
