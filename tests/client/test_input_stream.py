"""Tests of numbering input: what waits, what is sent again, and what is given up rather than applied twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.client.input_stream import InputStream, Resumption, pieces
from relay.rules.frames import HEADER_BYTES, Kind
from relay.rules.resume import InputStream as Applied


def stream_of(count: int) -> InputStream:
    stream = InputStream()
    for number in range(count):
        stream.add(Kind.INPUT, b"%d" % number)
    return stream


def numbers(stream: InputStream) -> list[int]:
    return [entry.sequence for entry in stream.waiting()]


def test_inputs_are_numbered_from_one() -> None:
    assert numbers(stream_of(3)) == [1, 2, 3]


def test_an_acknowledgement_is_cumulative_and_a_late_one_changes_nothing() -> None:
    stream = stream_of(5)
    stream.acknowledge(3)
    stream.acknowledge(2)
    assert numbers(stream) == [4, 5]


def test_the_window_counts_headers_so_that_empty_inputs_are_bounded_too() -> None:
    stream = InputStream(window_bytes=10 * HEADER_BYTES)
    while stream.room:
        stream.add(Kind.END_INPUT)
    assert len(stream.waiting()) == 9


def test_acknowledged_input_makes_room() -> None:
    stream = InputStream(window_bytes=100)
    before = stream.room
    stream.add(Kind.INPUT, b"1234")
    assert stream.room == before - 4 - HEADER_BYTES
    stream.acknowledge(1)
    assert stream.room == before


def test_a_resumed_stream_sends_the_rest_again_under_the_same_numbers() -> None:
    stream = stream_of(5)
    assert stream.resume(2) == Resumption(3, 0)
    assert numbers(stream) == [3, 4, 5]


def test_an_agent_that_forgot_the_stream_is_not_sent_what_it_may_have_applied() -> None:
    stream = stream_of(5)
    stream.acknowledge(2)
    assert stream.resume(0) == Resumption(0, 3)
    assert stream.add(Kind.INPUT, b"next").sequence == 1


def test_an_agent_that_claims_more_than_was_sent_is_believed_about_the_number_only() -> None:
    stream = stream_of(2)
    assert stream.resume(7) == Resumption(0, 2)
    assert stream.add(Kind.INPUT).sequence == 8


def test_an_agent_that_forgot_while_nothing_waits_loses_nothing() -> None:
    stream = stream_of(2)
    stream.acknowledge(2)
    assert stream.resume(0) == Resumption(0, 0)
    assert stream.add(Kind.INPUT).sequence == 1


def test_refused_input_is_dropped_and_its_numbers_are_given_again() -> None:
    stream = stream_of(5)
    assert stream.refuse(3) == 3
    assert stream.add(Kind.INPUT, b"later").sequence == 3


def test_a_second_refusal_of_the_same_burst_changes_nothing() -> None:
    stream = stream_of(5)
    stream.refuse(3)
    assert stream.refuse(4) == 0
    assert stream.add(Kind.INPUT).sequence == 3


def test_a_paste_is_cut_without_losing_a_byte() -> None:
    assert pieces(b"abcdefg", 3) == [b"abc", b"def", b"g"]
    assert pieces(b"") == []


@given(st.lists(st.sampled_from(["type", "deliver", "lose", "acknowledge", "reconnect"])))
def test_whatever_is_lost_each_input_is_applied_once_and_in_order(steps: list[str]) -> None:
    """The agent's half of the rules against ours, over a wire that loses and a socket that comes back."""
    stream, agent = InputStream(), Applied()
    wire: list[tuple[int, bytes]] = []
    typed: list[bytes] = []
    applied: list[bytes] = []

    def deliver() -> None:
        number, payload = wire.pop(0)
        if agent.apply(number) == "apply":
            applied.append(payload)

    def reconnect() -> None:
        wire.clear()
        assert stream.resume(agent.last).lost_bytes == 0
        wire.extend((entry.sequence, entry.payload) for entry in stream.waiting())

    for step in steps:
        match step:
            case "type":
                typed.append(b"%d" % len(typed))
                entry = stream.add(Kind.INPUT, typed[-1])
                wire.append((entry.sequence, entry.payload))
            case "deliver" if wire:
                deliver()
            case "lose":
                wire.clear()
                reconnect()
            case "acknowledge":
                stream.acknowledge(agent.last)
            case "reconnect":
                reconnect()
    reconnect()
    while wire:
        deliver()
    assert applied == typed
