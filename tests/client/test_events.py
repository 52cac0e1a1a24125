"""Tests of reading output frames as events."""

from __future__ import annotations

import pytest

from relay.client import events
from relay.errors import Invalid
from relay.rules import frames
from relay.rules.frames import Header, Kind


def header(kind: int, flags: int = 0) -> Header:
    return Header(kind, flags, 0, 1, bytes(16), 1)


def test_output_says_its_stream() -> None:
    assert events.read(header(Kind.OUTPUT), b"x") == events.Output(b"x", stderr=False)
    assert events.read(header(Kind.OUTPUT, frames.STDERR), b"x") == events.Output(b"x", stderr=True)


def test_an_exit_has_code_or_signal_or_reason() -> None:
    assert events.read(header(Kind.EXIT), b'{"code": 3, "signal": null}') == events.Exited(3)
    assert events.read(header(Kind.EXIT), b'{"signal": 9, "reason": "killed"}') == events.Exited(None, 9, "killed")


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"3"])
def test_an_exit_that_cannot_be_read_is_still_an_exit(payload: bytes) -> None:
    event = events.read(header(Kind.EXIT), payload)
    assert isinstance(event, events.Exited)
    assert event.code is None


def test_a_size_of_the_wrong_length_is_invalid() -> None:
    assert events.read(header(Kind.RESIZED), frames.SIZE.pack(80, 24)) == events.Resized(80, 24)
    with pytest.raises(Invalid):
        events.read(header(Kind.RESIZED), b"xyz")
    with pytest.raises(Invalid):
        events.read(header(Kind.ACK), b"")
