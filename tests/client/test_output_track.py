"""Tests of judging output frames, and of when to report what was seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.client.output_track import OutputTrack, SeenMeter, Start, Verdict
from relay.rules.messages import After
from relay.rules.resume import decide_replay

EPOCH = 7


def begun(first: int = 1) -> OutputTrack:
    track = OutputTrack()
    assert track.begin(EPOCH, first, recovered=True) is Start.FRESH
    return track


def test_a_first_attach_asks_for_everything() -> None:
    assert OutputTrack().after() is None


def test_frames_are_delivered_once_and_in_order() -> None:
    track = begun()
    assert [track.take(EPOCH, number) for number in (1, 2, 2, 1, 3)] == [
        Verdict.DELIVER, Verdict.DELIVER, Verdict.DROP, Verdict.DROP, Verdict.DELIVER
    ]  # fmt: skip
    assert track.after() == After(epoch=EPOCH, sequence=3)


def test_a_frame_beyond_the_next_one_asks_to_resume_and_is_not_counted() -> None:
    track = begun()
    assert track.take(EPOCH, 2) is Verdict.RESUME
    assert track.last == 0


def test_a_frame_of_another_life_is_dropped() -> None:
    assert begun().take(EPOCH + 1, 1) is Verdict.DROP


def test_a_ring_that_begins_late_begins_there() -> None:
    track = begun(first=40)
    assert track.take(EPOCH, 40) is Verdict.DELIVER


def test_a_resume_that_joins_on_continues() -> None:
    track = begun()
    track.take(EPOCH, 1)
    assert track.begin(EPOCH, 2, recovered=True) is Start.CONTINUED
    assert track.take(EPOCH, 2) is Verdict.DELIVER


def test_a_resume_that_is_not_recovered_is_a_gap() -> None:
    track = begun()
    track.take(EPOCH, 1)
    assert track.begin(EPOCH, 9, recovered=False) is Start.GAP
    assert track.take(EPOCH, 9) is Verdict.DELIVER


def test_a_resume_that_claims_to_join_on_and_does_not_is_a_gap() -> None:
    assert begun().begin(EPOCH, 5, recovered=True) is Start.GAP


def test_another_epoch_is_a_gap_even_if_it_says_recovered() -> None:
    assert begun().begin(EPOCH + 1, 1, recovered=True) is Start.GAP


def test_a_track_that_begins_with_what_is_there_continues() -> None:
    track = OutputTrack(After(epoch=EPOCH, sequence=0))
    assert track.begin(EPOCH, 1, recovered=True) is Start.CONTINUED


def test_a_replay_that_ends_before_its_head_misses_something() -> None:
    track = begun()
    track.take(EPOCH, 1)
    assert track.misses(2)
    assert not track.misses(1)


@given(st.integers(0, 30), st.lists(st.integers(0, 30)), st.integers(0, 30))
def test_after_any_frames_a_resume_delivers_exactly_the_rest(head: int, heard: list[int], dropped: int) -> None:
    """Our half of the rules against the agent's: what was delivered before and after the resume is all, each once."""
    track = begun()
    delivered = [number for number in heard if number <= head and track.take(EPOCH, number) is Verdict.DELIVER]
    replay = decide_replay(track.after(), EPOCH, min(dropped, head) + 1, head)
    start = track.begin(EPOCH, replay.first, replay.recovered)
    rest = [number for number in range(replay.first, head + 1) if track.take(EPOCH, number) is Verdict.DELIVER]
    assert not track.misses(head)
    if start is Start.CONTINUED:
        assert delivered + rest == list(range(1, head + 1))
    else:
        assert rest == list(range(replay.first, head + 1))


def test_seen_is_reported_after_so_many_bytes_and_each_number_once() -> None:
    meter = SeenMeter(every_bytes=10)
    assert not meter.handed(1, 6)
    assert meter.handed(2, 6)
    assert meter.report() == 2
    assert meter.report() is None


def test_a_new_attachment_is_told_what_it_sends_again_was_seen() -> None:
    """Otherwise it would wait for ever for a report about frames that are dropped as known."""
    meter = SeenMeter()
    meter.handed(5, 1)
    meter.report()
    assert meter.restart(3, continued=True)
    assert meter.report() == 5


def test_after_a_gap_nothing_of_the_new_output_is_seen() -> None:
    meter = SeenMeter()
    meter.handed(5, 1)
    assert not meter.restart(3, continued=False)
    assert meter.report() is None
    meter.handed(3, 1)
    assert meter.report() == 3
