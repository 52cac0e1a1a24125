import gc
import importlib.util
import sys
from types import ModuleType

import pytest

from relay.errors import Close
from relay.rules import websocket
from relay.rules.websocket import (
    BINARY,
    BROKEN,
    CLOSE,
    CONTINUATION,
    FAILED,
    PING,
    PONG,
    TEXT,
    Event,
    Reader,
    close_body,
    frame,
    read_close,
)
from tests.support.client_stream import FINAL, client_frame, pieces

LIMIT_BYTES = 1_000
HELLO = bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")  # RFC 6455, 5.7: a masked text message


def whole(opcode: int, payload: bytes = b"", bits: int = 0) -> bytes:
    """A message or control frame of a client, in one piece."""
    return client_frame(FINAL | opcode, payload, bits=bits)


def part(opcode: int, payload: bytes = b"") -> bytes:
    """A fragment that is not the last."""
    return client_frame(opcode, payload)


def last(payload: bytes = b"") -> bytes:
    """The last fragment of a message."""
    return whole(CONTINUATION, payload)


def read(stream: bytes, limit_bytes: int = LIMIT_BYTES) -> list[Event]:
    """What a stream says that comes at once, having checked that it says the same in pieces of any size up to 15."""
    events = Reader(limit_bytes).feed(stream)
    for size in range(1, 16):
        reader = Reader(limit_bytes)
        assert [event for piece in pieces(stream, size) for event in reader.feed(piece)] == events
        assert reader.over == (bool(events) and events[-1][0] in {CLOSE, FAILED})
    return events


def refusal(stream: bytes, limit_bytes: int = LIMIT_BYTES) -> tuple[int, str]:
    """The code and reason by which a stream is refused."""
    kind, body = read(stream, limit_bytes)[-1]
    assert kind == FAILED
    return read_close(body)


def weight_bytes(reader: Reader) -> int:
    """What a reader takes of memory with all that it holds; numbers left out, as most are shared."""
    held = [thing for thing in gc.get_referents(reader) if not isinstance(thing, int | type)]
    return sum(map(sys.getsizeof, [reader, *held]))


def test_a_masked_text_message_of_the_standard_is_read() -> None:
    assert read(HELLO) == [(TEXT, b"Hello")]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 125, 126, 127, 160, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_of_any_size_is_read(opcode: int, size: int) -> None:
    payload = bytes(range(128)) * (size // 128 + 1)
    reader = Reader(100_000)
    stream = whole(opcode, payload[:size])
    assert reader.feed(stream[:-1]) == []
    assert reader.feed(stream[-1:] + HELLO) == [(opcode, payload[:size]), (TEXT, b"Hello")]


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
@pytest.mark.parametrize("bits", [16, 64])
def test_a_size_in_more_bits_than_it_needs_is_let_through(opcode: int, bits: int) -> None:
    assert read(whole(opcode, b"hi", bits)) == [(opcode, b"hi")]


def test_messages_of_one_read_come_in_their_order() -> None:
    stream = [whole(BINARY, b"1"), whole(BINARY, b"2" * 200), whole(PING, b"3"), whole(TEXT, b"4"), whole(BINARY, b"5")]
    assert [payload[:1] for _, payload in read(b"".join(stream))] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_message_in_fragments_is_one_message_and_pings_come_between() -> None:
    stream = part(BINARY, b"on") + whole(PING, b"?") + part(CONTINUATION) + whole(PONG, b"!") + last(b"e")
    assert read(stream + whole(BINARY, b"two")) == [(PING, b"?"), (PONG, b"!"), (BINARY, b"one"), (BINARY, b"two")]


def test_text_is_checked_when_it_is_whole_so_that_a_character_may_be_cut() -> None:
    euro = "€".encode()
    assert read(part(TEXT, euro[:1]) + last(euro[1:])) == [(TEXT, euro)]
    assert refusal(part(TEXT, euro[:1]) + last(euro[1:2])) == (1007, "bad-utf8")
    assert refusal(whole(TEXT, b"\xff")) == (1007, "bad-utf8")


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (client_frame(FINAL | BINARY, b"hi", mask=None), "frame without a mask"),
        (client_frame(FINAL | BINARY | 0x40, b"hi"), "reserved bit set"),
        (client_frame(FINAL | BINARY | 0x20, b"hi"), "reserved bit set"),
        (client_frame(FINAL | PING | 0x10), "reserved bit set"),
        (whole(3), "unknown opcode"),
        (whole(7), "unknown opcode"),
        (whole(11), "unknown opcode"),
        (whole(15), "unknown opcode"),
        (part(PING, b"hi"), "control frame in fragments"),
        (part(CLOSE, b"hi"), "control frame in fragments"),
        (whole(PING, b"x" * 126), "control frame too long"),
        (last(b"hi"), "continuation of nothing"),
        (part(BINARY, b"on") + whole(BINARY, b"two"), "message within a message"),
        (part(BINARY, b"on") + part(TEXT, b"tw"), "message within a message"),
        (part(BINARY, b"on") + last(b"e") + last(), "continuation of nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_framing_is_refused_by_1002_and_a_word_on_what_broke(stream: bytes, reason: str) -> None:
    assert refusal(whole(BINARY, b"before") + stream + whole(BINARY, b"behind")) == (BROKEN, reason)
    assert read(whole(BINARY, b"before") + stream)[0] == (BINARY, b"before")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("bits", [16, 64])
def test_a_message_over_the_limit_is_refused_as_soon_as_its_size_is_told(opcode: int, bits: int) -> None:
    assert read(whole(opcode, b"x" * LIMIT_BYTES, bits)) == [(opcode, b"x" * LIMIT_BYTES)]
    head = client_frame(FINAL | opcode, bits=bits, size=LIMIT_BYTES + 1)[: 2 + bits // 8]
    assert refusal(head) == (Close.TOO_BIG, "too-big")
    assert read(head[:-1]) == []


def test_a_usual_message_over_a_small_limit_is_refused_too() -> None:
    assert refusal(whole(BINARY, b"x" * 11), 10) == (1009, "too-big")
    assert refusal(whole(BINARY, b"x" * 301), 300) == (1009, "too-big")


def test_a_size_with_its_top_bit_set_is_too_big_and_not_negative() -> None:
    assert refusal(client_frame(FINAL | BINARY, size=2**63)) == (1009, "too-big")
    assert refusal(client_frame(FINAL | PING, size=2**63)) == (BROKEN, "control frame too long")


def test_fragments_count_together_and_pings_between_them_do_not_count() -> None:
    half = b"x" * (LIMIT_BYTES // 2)
    ping = whole(PING, b"p" * 125)
    assert read(part(BINARY, half) + ping + part(CONTINUATION, half) + ping + last())[-1] == (BINARY, half * 2)
    assert refusal(part(BINARY, half) + ping + part(CONTINUATION, half) + last(b"x")) == (1009, "too-big")
    assert read(part(BINARY, half) + last(half) + whole(BINARY, half * 2)) == [(BINARY, half * 2)] * 2


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1014, 3000, 4000, 4999])
def test_a_close_is_given_back_as_it_came(code: int) -> None:
    body = close_body(code, "läuft")
    assert read(whole(BINARY, b"hi") + whole(CLOSE, body) + whole(BINARY, b"behind")) == [
        (BINARY, b"hi"),
        (CLOSE, body),
    ]
    assert read_close(body) == (code, "läuft")


def test_a_close_without_a_code_reads_as_1005() -> None:
    assert read(whole(CLOSE)) == [(CLOSE, b"")]
    assert read_close(b"") == (1005, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_close_code_that_is_never_sent_is_refused(code: int) -> None:
    assert refusal(whole(CLOSE, code.to_bytes(2, "big"))) == (BROKEN, "close code out of range")
    with pytest.raises(AssertionError, match="never sent"):
        close_body(code, "")


def test_a_close_is_refused_if_it_is_cut_or_no_text_or_comes_before_a_message_is_whole() -> None:
    assert refusal(whole(CLOSE, b"\x03")) == (BROKEN, "half a close code")
    assert refusal(whole(CLOSE, b"\x03\xe8\xff")) == (1007, "bad-utf8")
    assert refusal(part(TEXT, b"he") + whole(CLOSE)) == (BROKEN, "message left unfinished")


@pytest.mark.parametrize("ending", [whole(CLOSE), whole(3)])
def test_after_its_end_a_stream_says_nothing_more(ending: bytes) -> None:
    reader = Reader(LIMIT_BYTES)
    assert not reader.over
    reader.feed(ending + HELLO[:5])
    assert reader.over
    assert reader.feed(HELLO[5:]) == reader.feed(HELLO) == reader.feed(b"") == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_of_ours_is_read_by_whoever_reads_a_client_without_masks(size: int) -> None:
    written = frame(BINARY, b"x" * size)
    assert written == client_frame(FINAL | BINARY, b"x" * size, mask=None)


@pytest.mark.parametrize("size", [0, 125, 126, 160, 65_535, 65_536])
def test_a_binary_message_of_ours_is_framed_like_any_other(size: int) -> None:
    assert websocket.binary(bytes(size)) == websocket.frame(BINARY, bytes(size))


def test_a_control_frame_of_ours_is_never_too_long() -> None:
    assert frame(PING, b"x" * 125) == b"\x89\x7d" + b"x" * 125
    with pytest.raises(AssertionError, match="at most 125 bytes"):
        frame(PING, b"x" * 126)


@pytest.mark.parametrize(
    ("reason", "sent"), [("€" * 42, "€" * 41), ("x" + "€" * 41, "x" + "€" * 40), ("", ""), ("\ud800!", "?!")]
)
def test_a_reason_is_cut_to_whole_characters_that_fit_a_close_frame(reason: str, sent: str) -> None:
    assert read_close(close_body(1000, reason)) == (1000, sent)
    assert read(whole(CLOSE, close_body(1000, reason))) == [(CLOSE, close_body(1000, reason))]


class Looks(Reader):
    """A reader that counts how often it has looked at a frame that was not whole, or not a usual one."""

    count = 0

    def _take(self, data: bytes, at: int, events: list[Event]) -> int:
        self.count += 1
        return super()._take(data, at, events)


def test_a_message_that_dribbles_in_is_looked_at_four_times_however_long_it_is() -> None:
    stream = whole(BINARY, b"x" * 70_000)
    reader = Looks(100_000)
    events = [event for piece in pieces(stream, 1) for event in reader.feed(piece)]
    assert events == [(BINARY, b"x" * 70_000)]
    assert reader.count <= 4  # one byte, two bytes, the size's field, the whole


def test_what_dribbles_in_takes_hardly_more_memory_than_it_has_bytes() -> None:
    limit_bytes = 4_096
    reader = Reader(limit_bytes)
    heaviest = 0
    for piece in pieces(whole(TEXT, b"x" * limit_bytes)[:-1], 2):
        assert reader.feed(piece) == []
        heaviest = max(heaviest, weight_bytes(reader))
    assert heaviest < 1.2 * limit_bytes + 300


def test_fragments_of_nothing_take_no_memory() -> None:
    reader = Reader(LIMIT_BYTES)
    reader.feed(part(BINARY, b"x"))
    light = weight_bytes(reader)
    assert reader.feed(part(CONTINUATION) * 1_000) == []
    assert weight_bytes(reader) == light


def test_a_reader_that_holds_nothing_is_as_light_as_a_new_one() -> None:
    reader = Reader(LIMIT_BYTES)
    new = weight_bytes(reader)
    stream = part(TEXT, b"he") + last(b"llo") + HELLO + whole(BINARY, b"x" * 200)
    for piece in pieces(stream, 7):
        reader.feed(piece)
    assert weight_bytes(reader) == new < 300
    reader.feed(part(TEXT, b"he") + whole(3) + HELLO[:-1])
    assert weight_bytes(reader) <= new


def without_compiled_masks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is where the compiled function is not to be had."""
    assert websocket.__file__
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.spec_from_file_location("relay.rules.websocket_slow", websocket.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 160])
def test_masks_come_off_without_the_compiled_function_too(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    slow = without_compiled_masks(monkeypatch)
    assert slow._unmask is not websocket._unmask
    payload = bytes(range(1, 161))[:size]
    assert slow.Reader(LIMIT_BYTES).feed(HELLO + whole(BINARY, payload)) == [(TEXT, b"Hello"), (BINARY, payload)]


@pytest.mark.parametrize(
    "sizes", [[], [0], [125], [126], [65_535], [65_536], [1, 200, 70_000, 0], [200] * 3, [200, 408]]
)
def test_frames_that_were_joined_are_counted_without_being_read(sizes: list[int]) -> None:
    joined = b"".join(websocket.binary(bytes([255]) * size) for size in sizes)
    assert websocket.count(joined) == len(sizes)


@pytest.mark.parametrize("garbage", [b"", b"\x82", b"\x82\x7e", b"\x82\x7f\xff", b"what is no frame at all"])
def test_to_count_what_is_no_frame_comes_to_an_end(garbage: bytes) -> None:
    assert websocket.count(garbage) <= len(garbage)
