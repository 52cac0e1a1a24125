from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Invalid
from relay.rules import presence
from relay.rules.presence import Fence, Record, next_change_ms, offline_reason, state
from tests.rules.samples import NOW_MS, record

quick = settings(derandomize=True, deadline=None, max_examples=30)


def settled(of: Record | None, now_ms: int = NOW_MS) -> str:
    return state(of, now_ms, True, False)


def unsettled(of: Record | None, was_offline: bool = False) -> str:
    return state(of, NOW_MS, False, was_offline)


def dropped(seconds_ago: float) -> Record:
    """A machine whose socket was seen to drop while it was live."""
    at_ms = NOW_MS - int(seconds_ago * 1000)
    return record(heard_ms=at_ms - 1_000, deadline_ms=at_ms + presence.DROPPED_MS, connected=False)


def closed() -> Record:
    """A machine that says goodbye at this very moment."""
    return record(heard_ms=NOW_MS, deadline_ms=NOW_MS, connected=False, reason="closed")


@pytest.mark.parametrize(
    ("age_ms", "band"),
    [
        (-5, "live"),
        (0, "live"),
        (30_000, "live"),
        (30_001, "degraded"),
        (90_000, "degraded"),
        (90_001, "offline"),
        (10**9, "offline"),
    ],
)
def test_the_band_follows_from_when_the_machine_was_last_heard(age_ms: int, band: str) -> None:
    assert settled(record(age_ms)) == band


@pytest.mark.parametrize(("seconds_ago", "band"), [(0, "degraded"), (10, "degraded"), (10.001, "offline")])
def test_a_dropped_machine_is_degraded_for_ten_seconds_and_then_offline(seconds_ago: float, band: str) -> None:
    assert settled(dropped(seconds_ago)) == band


def test_a_goodbye_is_offline_within_the_same_millisecond() -> None:
    assert settled(closed()) == "offline"


def test_no_record_means_offline() -> None:
    assert settled(None) == "offline"


def test_unsettled_silence_shows_nothing_worse_than_degraded() -> None:
    assert unsettled(None) == "degraded"
    assert unsettled(record(200_000)) == "degraded"
    assert unsettled(dropped(60)) == "degraded"
    assert unsettled(record(4_000)) == "live"


def test_what_was_offline_before_stays_offline_while_unsettled() -> None:
    assert unsettled(None, was_offline=True) == "offline"
    assert unsettled(record(200_000), was_offline=True) == "offline"
    assert unsettled(closed()) == "offline"


def test_a_machine_that_was_offline_and_is_heard_again_is_live() -> None:
    assert state(record(4_000), NOW_MS, True, True) == "live"
    assert unsettled(record(4_000), was_offline=True) == "live"


def test_a_drop_and_a_goodbye_give_their_reasons() -> None:
    assert offline_reason(record(500_000)) == "silent"
    assert offline_reason(dropped(60)) == "dropped"
    assert offline_reason(closed()) == "closed"


def test_a_reason_that_the_sweeper_found_is_kept() -> None:
    assert offline_reason(record(500_000, reason="node-lost")) == "node-lost"


def test_a_machine_that_came_back_is_there_whatever_its_old_reason() -> None:
    assert settled(record(0, reason="silent")) == "live"


def test_the_next_change_of_band_is_foretold() -> None:
    assert next_change_ms(record(4_000), NOW_MS) == NOW_MS + 26_001
    assert next_change_ms(record(31_000), NOW_MS) == NOW_MS + 59_001
    assert next_change_ms(dropped(2), NOW_MS) == NOW_MS + 8_001
    assert next_change_ms(record(90_001), NOW_MS) is None
    assert next_change_ms(closed(), NOW_MS) is None


@quick
@given(
    age_ms=st.integers(-1_000, 120_000),
    connected=st.booleans(),
    brought_forward_ms=st.sampled_from([0, 1_000, 65_000, 80_000]),
)
def test_the_band_changes_exactly_when_it_is_foretold(age_ms: int, connected: bool, brought_forward_ms: int) -> None:
    heard_ms = NOW_MS - age_ms
    subject = record(heard_ms=heard_ms, deadline_ms=heard_ms + 90_000 - brought_forward_ms, connected=connected)
    at_ms = next_change_ms(subject, NOW_MS)
    if at_ms is None:
        assert settled(subject) == settled(subject, NOW_MS + 10**9) == "offline"
    else:
        assert settled(subject, at_ms - 1) == settled(subject)
        assert settled(subject, at_ms) != settled(subject)


def test_a_fence_survives_its_text_form() -> None:
    fence = Fence(3, NOW_MS, "node-7:connection")
    assert Fence.parse(fence.text) == fence
    assert fence.text == f"3:{NOW_MS}:node-7:connection"


@pytest.mark.parametrize("text", ["", "1", "1:2", "1:2:", ":2:c", "1::c", "a:2:c", "1:-2:c", "1:2.0:c", "1:²:c"])
def test_what_is_no_fence_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a fence"):
        Fence.parse(text)


def test_the_higher_token_version_owns_then_the_higher_generation() -> None:
    held = Fence(2, 500, "c5")
    assert held.relation(None) == "newer"
    assert held.relation(held) == "same"
    assert Fence(2, 501, "a0").relation(held) == "newer"
    assert Fence(2, 499, "z9").relation(held) == "older"
    assert Fence(3, 1, "a0").relation(held) == "newer"
    assert Fence(1, 10**9, "z9").relation(held) == "older"


def test_an_equal_generation_on_another_connection_is_replaced() -> None:
    assert Fence(2, 500, "z9").relation(Fence(2, 500, "c5")) == "older"
    assert Fence(2, 500, "a0").relation(Fence(2, 500, "c5")) == "older"


fences = st.builds(Fence, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["a", "b"]))


@quick
@given(order=st.lists(fences, min_size=1, max_size=12))
def test_ownership_only_ever_moves_upwards(order: list[Fence]) -> None:
    owners: list[Fence] = []
    for fence in order:
        if fence.relation(owners[-1] if owners else None) == "newer":
            owners.append(fence)
    assert all(earlier[:2] < later[:2] for earlier, later in pairwise(owners))
    assert all(fence.relation(owners[-1]) != "newer" for fence in order)
