"""Tests when a program is held up, and when one that nobody reads is given up."""

from __future__ import annotations

from relay.agent.flow import UNATTENDED_SECONDS, Flow
from relay.rules import limits, timing

FAR = limits.DRIVER_WINDOW_BYTES + 1


def test_a_terminal_nobody_drives_is_never_held_up() -> None:
    assert Flow(lossless=False, began=0.0).may_read(10**12, 0.0)


def test_a_terminal_waits_for_its_driver_and_goes_on_when_it_has_seen_more() -> None:
    flow = Flow(lossless=False, began=0.0)
    flow.driven(0, 0.0)
    assert flow.may_read(limits.DRIVER_WINDOW_BYTES, 0.0)
    assert not flow.may_read(FAR, 0.0)
    flow.driven(1, 1.0)
    assert flow.may_read(FAR, 1.0)


def test_a_terminal_whose_driver_left_goes_on() -> None:
    flow = Flow(lossless=False, began=0.0)
    flow.driven(0, 0.0)
    flow.free()
    assert flow.may_read(10 * FAR, 0.0)


def test_a_terminal_waits_for_a_driver_who_cannot_be_reached_only_while_nobody_else_is_there() -> None:
    flow = Flow(lossless=False, began=0.0)
    flow.driven(0, 0.0)
    flow.away()
    assert not flow.may_read(FAR, 0.0)
    assert flow.may_read(10 * FAR, 0.0, others=True)
    flow.driven(1, 1.0)  # it is back
    assert not flow.may_read(10 * FAR, 1.0, others=True)


def test_a_command_whose_driver_cannot_be_reached_loses_nothing_and_ends_after_a_minute() -> None:
    flow = Flow(lossless=True, began=0.0)
    flow.attached(0.0)
    flow.driven(0, 0.0)
    flow.away()
    assert not flow.may_read(limits.RING_BYTES, 0.0, others=True)
    assert flow.given_up(0.1 + timing.LOSSLESS_STALL_SECONDS) == "stalled"


def test_a_terminal_is_never_given_up() -> None:
    flow = Flow(lossless=False, began=0.0)
    flow.attached(0.0)
    flow.driven(0, 0.0)
    assert not flow.may_read(FAR, 0.0)
    assert not flow.given_up(1e9)


def test_a_command_is_held_up_before_its_ring_is_full_also_when_nobody_came_yet() -> None:
    flow = Flow(lossless=True, began=0.0)
    room = limits.RING_BYTES - 2 * limits.CHUNK_BYTES
    assert flow.may_read(room - limits.CHUNK_BYTES, 0.0)
    assert not flow.may_read(room, 0.0)
    assert not flow.given_up(UNATTENDED_SECONDS)  # it waits for whoever asked for it


def test_a_command_that_somebody_attached_to_is_given_up_after_a_minute_without_progress() -> None:
    flow = Flow(lossless=True, began=0.0)
    assert not flow.may_read(limits.RING_BYTES, 0.0)
    flow.attached(100.0)
    assert not flow.given_up(100.0 + timing.LOSSLESS_STALL_SECONDS)
    assert flow.given_up(100.1 + timing.LOSSLESS_STALL_SECONDS) == "stalled"


def test_a_command_that_nobody_ever_attached_to_is_given_up_after_ten_minutes_whatever_it_does() -> None:
    flow = Flow(lossless=True, began=100.0)
    assert flow.may_read(0, 100.0)
    assert flow.given_up(100.0 + UNATTENDED_SECONDS) is None
    assert flow.given_up(100.1 + UNATTENDED_SECONDS) == "unattended"
    flow.attached(700.0)
    assert flow.given_up(1e9) is None


def test_every_step_of_its_reader_gives_a_command_another_minute() -> None:
    flow = Flow(lossless=True, began=0.0)
    flow.attached(0.0)
    assert not flow.may_read(limits.RING_BYTES, 0.0)
    flow.driven(10, 50.0)
    assert not flow.may_read(limits.RING_BYTES, 50.0)
    assert not flow.given_up(100.0)
    assert flow.given_up(50.1 + timing.LOSSLESS_STALL_SECONDS)


def test_a_command_that_is_silent_but_not_held_up_may_take_its_time() -> None:
    flow = Flow(lossless=True, began=0.0)
    flow.attached(0.0)
    assert flow.may_read(0, 0.0)
    assert not flow.given_up(1e9)
