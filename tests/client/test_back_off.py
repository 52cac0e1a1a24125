"""Tests of how long a peer waits before it dials again."""

from __future__ import annotations

from random import Random

from relay.client.back_off import BackOff
from relay.client.ends import Shed, Unreachable, end_of
from relay.rules import timing


class Longest(Random):
    """Draws the longest wait there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_grow_to_the_last_step() -> None:
    back_off = BackOff((1.0, 2.0, 5.0), random=Longest())
    assert [back_off.next() for _ in range(4)] == [1.0, 2.0, 5.0, 5.0]


def test_a_stable_connection_starts_the_waits_anew_and_a_short_one_does_not() -> None:
    back_off = BackOff((1.0, 2.0, 5.0), random=Longest())
    back_off.next()
    back_off.connected_for(29.0)
    assert back_off.next() == 2.0
    back_off.connected_for(30.0)
    assert back_off.next() == 1.0


def test_whoever_is_taken_again_and_again_never_waits_for_as_long_as_one_whom_nobody_takes() -> None:
    back_off = BackOff(timing.AGENT_BACK_OFF_SECONDS, random=Longest())
    waits = []
    for _ in range(6):
        back_off.connected_for(3.0)
        waits.append(back_off.after(end_of(None)))
    assert waits == [1.0, 2.0, 5.0, 5.0, 5.0, 5.0]
    assert max(waits) <= timing.DROPPED_SECONDS / 2, "its machine would be said to be offline"
    assert [back_off.after(Unreachable("nobody")) for _ in range(3)] == [15.0, 30.0, 30.0]
    back_off.connected_for(3.0)
    assert back_off.after(end_of(4101)) == 30.0  # who sends too much is another matter


def test_a_hint_of_the_server_overrides_one_wait() -> None:
    back_off = BackOff((1.0, 2.0), random=Longest())
    back_off.hint(9.0)
    assert back_off.next() == 9.0
    assert back_off.next() == 2.0


def test_coming_back_soon_is_soon_and_backing_off_is_longer() -> None:
    back_off = BackOff((1.0, 2.0, 5.0, 15.0), random=Longest())
    for _ in range(3):
        back_off.next()
    assert back_off.after(end_of(4200)) == 1.0
    assert back_off.after(end_of(4100)) == 5.0
    assert back_off.after(end_of(4101)) == 15.0
    assert back_off.after(end_of(None)) == 15.0
    back_off.hint(3.0)
    assert back_off.after(end_of(4100)) == 3.0


def test_a_node_that_cannot_take_a_machine_now_keeps_it_away_for_less_than_its_grace_however_often() -> None:
    back_off = BackOff(timing.AGENT_BACK_OFF_SECONDS, random=Longest())
    waits = [back_off.after(end_of(code)) for code in (4100, 4103) * 5]
    assert max(waits) == waits[-1] == timing.DROPPED_SECONDS / 2
    assert back_off.after(end_of(4101)) > timing.DROPPED_SECONDS  # who sends too much is another matter


def test_nobody_comes_before_their_turn_and_not_all_at_once() -> None:
    shed = Shed("busy", "http://node", 10.0)
    waits = [BackOff((1.0, 2.0), random=Random(seed)).after(shed) for seed in range(100)]
    assert all(10.0 <= wait <= 12.0 for wait in waits)
    assert max(waits) - min(waits) > 1.5


def test_a_turn_is_no_failure_that_makes_later_waits_longer() -> None:
    back_off = BackOff((1.0, 2.0), random=Longest())
    back_off.after(Shed("busy", "http://node", 10.0))
    assert back_off.after(Unreachable("nobody")) == 1.0
