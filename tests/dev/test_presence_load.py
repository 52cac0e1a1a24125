"""Shows that a load of heartbeats notices every wrong announcement, and plays the fleet that it says."""

from __future__ import annotations

from random import Random

import pytest

from loadtests.presence import fleet
from loadtests.presence.command import broken
from loadtests.presence.fleet import NEVER
from relay.rules.timing import BEAT_SECONDS, FLUSH_SECONDS, OFFLINE_SECONDS

LAST = {"gone": 1_000.0}
AT = 1_000.0 + OFFLINE_SECONDS


@pytest.mark.parametrize(
    ("rang", "wrong"),
    [
        ({"gone": [AT + 3]}, []),
        ({}, ["gone was never announced"]),
        ({"gone": [AT + 3, AT + 5]}, ["gone was announced 2 times"]),
        ({"gone": [AT - 1]}, ["gone was announced 89.0 s after it was heard last"]),
        ({"gone": [AT + 9]}, ["gone was announced 99.0 s after it was heard last"]),
        ({"gone": [AT + 3], "there": [AT]}, ["there was announced and was not silent for good"]),
    ],
    ids=["right", "never", "twice", "early", "late", "somebody else"],
)
def test_every_wrong_announcement_is_named(rang: dict[str, list[float]], wrong: list[str]) -> None:
    assert broken(rang, LAST) == wrong


def test_one_of_a_hundred_leaves_and_one_pauses_for_less_than_it_takes_to_be_offline() -> None:
    lives = fleet.invent(1_000, seed=1)
    again = fleet.invent(1_000, seed=1)
    assert [(life.member.machine, life[1:]) for life in lives] == [(life.member.machine, life[1:]) for life in again]
    silent = [life for life in lives if life.silent_from < NEVER]
    assert (sum(life.leaves for life in silent), len(silent)) == (10, 20)
    longest = max(life.silent_until - life.silent_from for life in silent if not life.leaves)
    assert longest + BEAT_SECONDS * 2 + FLUSH_SECONDS < OFFLINE_SECONDS
    random = Random(1)
    assert all(BEAT_SECONDS * 0.8 <= fleet.next_beat(random, 0.0) <= BEAT_SECONDS for _ in range(100))
