"""Tests that each client's input counts once, and how long that is remembered."""

from __future__ import annotations

from relay.agent.inputs import Inputs
from relay.rules import limits, timing


def test_streams_of_clients_are_apart() -> None:
    inputs = Inputs()
    inputs.joined("one")
    inputs.joined("two")
    assert inputs.apply("one", 1) == "apply"
    assert inputs.judge("one", 1) == "duplicate"
    assert inputs.judge("two", 1) == "apply"
    assert inputs.judge("two", 2) == "hole"


def test_a_client_that_comes_back_in_time_goes_on_where_it_was() -> None:
    inputs = Inputs()
    inputs.joined("one")
    inputs.apply("one", 1)
    inputs.left("one", 0.0)
    inputs.expire(timing.INPUT_KEPT_SECONDS)
    assert inputs.joined("one") == 1
    inputs.expire(10 * timing.INPUT_KEPT_SECONDS)
    assert inputs.judge("one", 1) == "duplicate"


def test_a_client_that_stays_away_is_forgotten() -> None:
    inputs = Inputs()
    inputs.joined("one")
    inputs.apply("one", 1)
    inputs.left("one", 0.0)
    inputs.expire(timing.INPUT_KEPT_SECONDS + 1)
    assert inputs.joined("one") == 0


def test_of_too_many_that_left_the_oldest_are_forgotten() -> None:
    inputs = Inputs()
    for number in range(limits.ATTACHMENTS_PER_SESSION + 5):
        inputs.joined(f"client-{number}")
        inputs.left(f"client-{number}", float(number))
    assert len(inputs) == limits.ATTACHMENTS_PER_SESSION
