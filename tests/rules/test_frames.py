import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Invalid
from relay.rules import frames, ids
from relay.rules.frames import FROM_AGENT, FROM_BROWSER, Header, Kind, pack, payload, read_header
from tests.rules.samples import number

quick = settings(derandomize=True, deadline=None, max_examples=30)
HEADER = Header(Kind.OUTPUT, frames.STDERR, 0x0203, 0x04050607, ids.raw(number(0xAB)), 0x08090A)


def test_the_header_is_32_big_endian_bytes_in_the_documented_order() -> None:
    assert pack(HEADER, b"hi").hex(" ") == (
        "01 01 02 03 04 05 06 07 00 00 00 00 00 00 40 00 80 00 00 00 00 00 00 ab 00 00 00 00 00 08 09 0a 68 69"
    )
    assert frames.HEADER_BYTES == 32
    assert payload(pack(HEADER, b"hi")) == b"hi"


@quick
@given(
    kind=st.sampled_from(sorted(FROM_AGENT)),
    flags=st.integers(0, 255),
    attachment=st.integers(0, 65_535),
    epoch=st.integers(0, 2**32 - 1),
    session=st.binary(min_size=16, max_size=16),
    sequence=st.integers(0, frames.SEQUENCE_MAX),
    carried=st.binary(max_size=64),
)
def test_what_was_packed_is_what_is_read(
    kind: Kind, flags: int, attachment: int, epoch: int, session: bytes, sequence: int, carried: bytes
) -> None:
    header = Header(kind, flags, attachment, epoch, session, sequence)
    frame = pack(header, carried)
    assert read_header(frame, FROM_AGENT) == read_header(memoryview(frame), FROM_AGENT) == header
    assert payload(frame) == carried


@quick
@given(frame=st.binary(max_size=80))
def test_any_bytes_are_a_header_or_invalid(frame: bytes) -> None:
    try:
        header = read_header(frame, FROM_BROWSER)
    except Invalid:
        return
    assert header.kind in FROM_BROWSER
    assert pack(header, payload(frame)) == frame


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_frame_shorter_than_its_header_is_invalid(length: int) -> None:
    with pytest.raises(Invalid, match=f"at least 32 bytes, this one has {length}"):
        read_header(pack(HEADER)[:length], FROM_AGENT)


def test_each_side_sends_only_its_own_kinds() -> None:
    assert not FROM_AGENT & FROM_BROWSER
    assert set(Kind) == FROM_AGENT | FROM_BROWSER
    for kind in Kind:
        frame = pack(HEADER._replace(kind=kind))
        with pytest.raises(Invalid, match=f"kind {int(kind)} "):
            read_header(frame, FROM_BROWSER if kind in FROM_AGENT else FROM_AGENT)


def test_an_unknown_kind_is_invalid() -> None:
    with pytest.raises(Invalid, match="kind 255 "):
        read_header(pack(HEADER._replace(kind=255)), FROM_AGENT)


def test_the_number_of_a_kind_says_whether_and_how_it_is_numbered() -> None:
    assert all((kind < 16) == (kind in frames.OUTPUT_KINDS) for kind in Kind)
    assert {kind for kind in Kind if 16 <= kind < 32} == {Kind.INPUT, Kind.RESIZE, Kind.END_INPUT}


def test_a_sequence_that_a_browser_could_not_count_is_invalid() -> None:
    read_header(pack(HEADER._replace(sequence=2**53 - 1)), FROM_AGENT)
    with pytest.raises(Invalid, match="above"):
        read_header(pack(HEADER._replace(sequence=2**53)), FROM_AGENT)


def test_a_size_is_columns_then_rows() -> None:
    assert frames.SIZE.pack(80, 24) == b"\x00\x50\x00\x18"
