from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.rules.balance import Transfer, transfers

LOADS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30_000))


def test_a_full_node_gives_to_a_new_one_until_both_hold_as_many() -> None:
    assert transfers({"old": 1_000, "new": 0}) == [Transfer("old", "new", 500)]


def test_the_fullest_gives_to_the_emptiest_first() -> None:
    assert transfers({"a": 600, "b": 500, "c": 100, "d": 0}) == [
        Transfer("a", "d", 300),
        Transfer("b", "c", 200),
    ]


@pytest.mark.parametrize("loads", [{}, {"a": 7}, {"a": 0, "b": 0}, {"a": 105, "b": 100, "c": 95}])
def test_nobody_reconnects_for_little(loads: dict[str, int]) -> None:
    assert transfers(loads) == []


@given(LOADS)
def test_nobody_gives_below_the_mean_or_is_filled_above_it(loads: dict[str, int]) -> None:
    after = dict(loads)
    for giver, taker, agents in transfers(loads):
        assert agents > 0
        after[giver] -= agents
        after[taker] += agents
    mean = round(sum(loads.values()) / max(1, len(loads)))
    moved = set(chain.from_iterable((giver, taker) for giver, taker, _ in transfers(loads)))
    for node in moved:
        before, now = loads[node], after[node]
        assert mean <= now < before or before < now <= mean
