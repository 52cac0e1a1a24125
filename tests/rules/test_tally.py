import pytest

from relay.rules.tally import Tally


def test_a_duration_counts_in_its_bucket_and_in_all_above() -> None:
    tally = Tally((0.1, 1.0))
    for seconds in (0.05, 0.5, 2.0):
        tally.add(seconds)
    assert list(tally.buckets()) == [(0.1, 1), (1.0, 2), (float("inf"), 3)]
    assert tally.total == pytest.approx(2.55)


def test_a_duration_that_is_exactly_a_bound_is_not_above_it() -> None:
    tally = Tally((0.1, 1.0))
    tally.add(0.1)
    assert list(tally.buckets()) == [(0.1, 1), (1.0, 1), (float("inf"), 1)]


def test_what_never_came_is_above_every_bound_and_leaves_the_sum_finite() -> None:
    tally = Tally((0.1,))
    tally.add(0.05)
    tally.miss()
    assert list(tally.buckets()) == [(0.1, 1), (float("inf"), 2)]
    assert tally.total == 0.05
