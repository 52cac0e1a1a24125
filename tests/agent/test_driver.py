"""Tests who has the keyboard."""

from __future__ import annotations

from relay.agent.driver import Driver
from relay.rules import timing
from tests.agent.scene import JANE


def driven_by_one() -> Driver:
    driver = Driver()
    assert driver.attached("client-one", 1, JANE, take=False)
    return driver


def test_the_first_who_may_drive_gets_it_and_the_second_does_not() -> None:
    driver = driven_by_one()
    assert not driver.attached("client-two", 2, JANE, take=False)
    assert driver.holds("client-one")
    assert not driver.holds("client-two")


def test_it_can_be_taken() -> None:
    driver = driven_by_one()
    assert driver.attached("client-two", 2, JANE, take=True)
    assert driver.holds("client-two")
    assert driver.term == 2


def test_a_dropped_driver_keeps_it_for_a_while_and_finds_it_again() -> None:
    driver = driven_by_one()
    assert not driver.left(1, dropped=True, now=100.0)
    assert not driver.expire(100.0 + timing.DRIVER_KEPT_SECONDS - 0.1)
    assert not driver.attached("client-two", 2, JANE, take=False)
    assert driver.attached("client-one", 3, JANE, take=False)
    assert driver.attachment == 3
    assert driver.term == 1
    assert not driver.expire(1_000.0)


def test_a_dropped_driver_loses_it_when_the_time_is_over() -> None:
    driver = driven_by_one()
    driver.left(1, dropped=True, now=100.0)
    assert driver.expire(100.0 + timing.DRIVER_KEPT_SECONDS)
    assert not driver.holds("client-one")
    assert driver.attached("client-two", 2, JANE, take=False)


def test_the_term_counts_changes_of_hands_and_not_a_holder_who_finds_it_free_again() -> None:
    """What somebody typed before they were cut off still applies, unless another client had the keyboard meanwhile."""
    driver = driven_by_one()
    driver.left(1, dropped=True, now=100.0)
    assert driver.expire(100.0 + timing.DRIVER_KEPT_SECONDS)
    assert driver.attached("client-one", 2, JANE, take=False)
    assert driver.term == 1
    driver.left(2, dropped=False, now=200.0)
    assert driver.attached("client-two", 3, JANE, take=False)
    driver.left(3, dropped=False, now=200.0)
    assert driver.attached("client-one", 4, JANE, take=False)
    assert driver.term == 3


def test_a_driver_that_leaves_frees_it_at_once() -> None:
    driver = driven_by_one()
    assert driver.left(1, dropped=False, now=100.0)
    assert driver.client is None
    assert driver.operator is None


def test_an_attachment_that_the_driver_had_before_changes_nothing_when_it_leaves() -> None:
    driver = driven_by_one()
    driver.attached("client-one", 2, JANE, take=False)
    assert not driver.left(1, dropped=False, now=100.0)
    assert driver.holds("client-one")
    assert driver.attachment == 2
