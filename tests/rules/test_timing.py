from itertools import pairwise

from relay.rules import timing


def test_every_time_is_positive() -> None:
    named = {name: value for name, value in vars(timing).items() if name.isupper()}
    assert all(value > 0 for value in named.values() if isinstance(value, int | float))


def test_a_machine_that_beats_on_time_stays_live_through_two_lost_beats() -> None:
    assert 3 * timing.BEAT_SECONDS <= timing.LIVE_SECONDS < timing.OFFLINE_SECONDS
    assert 2 * timing.BEAT_SECONDS + timing.FLUSH_SECONDS < timing.LIVE_SECONDS


def test_a_drop_is_told_before_silence_is() -> None:
    assert timing.DROPPED_SECONDS + timing.SWEEP_SECONDS < timing.OFFLINE_SECONDS
    assert timing.SWEEP_SECONDS <= 5, "offline is announced 10 to 15 seconds after a drop"


def test_every_machine_announces_itself_again_before_silence_is_believed() -> None:
    assert timing.UNSETTLED_SECONDS >= 2 * (timing.BEAT_SECONDS + timing.FLUSH_SECONDS)
    assert timing.FLUSH_SECONDS * 2 < timing.MARKER_STALE_SECONDS


def test_a_flush_that_fails_is_noticed_before_a_grace_is_over_and_one_that_is_late_is_not() -> None:
    assert timing.FLUSH_SECONDS < timing.MARKER_QUIET_SECONDS < 2 * timing.FLUSH_SECONDS
    assert timing.MARKER_QUIET_SECONDS < timing.DROPPED_SECONDS < timing.UNSETTLED_SECONDS
    assert timing.MARKER_QUIET_SECONDS < timing.MARKER_STALE_SECONDS


def test_what_is_renewed_is_renewed_before_it_lapses() -> None:
    assert 2 * timing.LEASE_RENEW_SECONDS < timing.LEASE_SECONDS
    assert 2 * timing.LANE_TICK_SECONDS < timing.LANE_LATE_SECONDS
    assert 2 * timing.INTEREST_SECONDS < timing.INTEREST_FORGET_SECONDS
    assert 2 * timing.PROBE_SECONDS < timing.DEAF_SECONDS


def test_the_lifetime_cleans_up_and_the_sweeper_announces() -> None:
    assert timing.REDIS_KEPT_SECONDS >= 86_400 > 100 * timing.OFFLINE_SECONDS


def test_an_agent_backs_off_ever_longer_and_returns_before_it_is_offline() -> None:
    waits = timing.AGENT_BACK_OFF_SECONDS
    assert all(earlier < later for earlier, later in pairwise(waits))
    assert waits[-1] < timing.OFFLINE_SECONDS


def test_waiting_for_another_node_is_far_shorter_than_for_a_machine() -> None:
    assert 10 * timing.HOP_SECONDS <= timing.REQUEST_SECONDS
    assert timing.REVOKE_WAIT_SECONDS < timing.REQUEST_SECONDS


def test_processes_compare_every_time_by_its_name() -> None:
    agreed = timing.agreed()
    assert agreed["BEAT_SECONDS"] == timing.BEAT_SECONDS
    assert agreed.keys() == {name for name in vars(timing) if name.isupper()} - {"AGENT_BACK_OFF_SECONDS"}
