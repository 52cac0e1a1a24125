import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.rules.messages import After
from relay.rules.resume import InputStream, Replay, decide_replay, judge

quick = settings(derandomize=True, deadline=None, max_examples=60)
EPOCH = 1_795_341_600


def test_a_browser_that_returns_gets_exactly_the_rest() -> None:
    assert decide_replay(After(epoch=EPOCH, sequence=41), EPOCH, first_kept=10, head=50) == Replay(42, True)


def test_a_browser_that_missed_nothing_gets_nothing() -> None:
    assert decide_replay(After(epoch=EPOCH, sequence=50), EPOCH, first_kept=10, head=50) == Replay(51, True)


@pytest.mark.parametrize(
    ("sequence", "replay"), [(9, Replay(10, True)), (8, Replay(10, False)), (0, Replay(10, False))]
)
def test_a_browser_is_told_when_the_ring_has_dropped_what_it_missed(sequence: int, replay: Replay) -> None:
    assert decide_replay(After(epoch=EPOCH, sequence=sequence), EPOCH, first_kept=10, head=50) == replay


def test_a_browser_ahead_of_the_agent_has_something_else_on_its_screen() -> None:
    assert decide_replay(After(epoch=EPOCH, sequence=51), EPOCH, first_kept=10, head=50) == Replay(10, False)


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_output_of_another_epoch_is_not_continued(epoch: int) -> None:
    assert decide_replay(After(epoch=epoch, sequence=20), EPOCH, first_kept=10, head=50) == Replay(10, False)


def test_a_new_browser_gets_all_that_is_kept_and_is_told_if_that_is_not_all_there_was() -> None:
    assert decide_replay(None, EPOCH, first_kept=1, head=50) == Replay(1, True)
    assert decide_replay(None, EPOCH, first_kept=10, head=50) == Replay(10, False)


def test_a_command_is_followed_from_its_first_frame() -> None:
    assert decide_replay(After(epoch=EPOCH, sequence=0), EPOCH, first_kept=1, head=0) == Replay(1, True)


@quick
@given(
    head=st.integers(0, 30),
    kept=st.integers(0, 30),
    last=st.integers(-1, 35),
    same_epoch=st.booleans(),
)
def test_whatever_a_browser_has_it_ends_with_the_whole_output_or_a_said_gap(
    head: int, kept: int, last: int, same_epoch: bool
) -> None:
    first_kept = max(1, head - kept + 1)
    after = After(epoch=EPOCH if same_epoch else 7, sequence=last) if last >= 0 else None
    replay = decide_replay(after, EPOCH, first_kept, head)
    had = list(range(1, last + 1)) if replay.recovered else []
    seen = had + list(range(replay.first, head + 1))
    assert first_kept <= replay.first <= head + 1
    assert seen == list(range(1 if replay.recovered else first_kept, head + 1))


def test_a_frame_is_applied_once_and_in_order() -> None:
    assert [judge(5, number) for number in (4, 5, 6, 7)] == ["duplicate", "duplicate", "apply", "hole"]


def test_an_input_stream_starts_at_one_or_after_what_was_applied_before() -> None:
    assert InputStream().apply(1) == "apply"
    assert InputStream(last=7).apply(7) == "duplicate"
    assert InputStream(last=7).apply(8) == "apply"


def test_a_hole_and_a_duplicate_acknowledge_nothing() -> None:
    stream = InputStream(last=7)
    assert (stream.apply(9), stream.apply(3), stream.last) == ("hole", "duplicate", 7)


@quick
@given(cuts=st.lists(st.integers(0, 12), max_size=12))
def test_input_that_is_resent_after_every_cut_is_applied_once_each(cuts: list[int]) -> None:
    """Each time the socket lasts for a few inputs only; what was not acknowledged is sent again."""
    stream, applied = InputStream(), []
    for lasts in [*cuts, 12]:
        acknowledged = max(0, stream.last - 1)  # the last acknowledgement is always lost
        for number in range(acknowledged + 1, min(acknowledged + lasts, 12) + 1):
            if stream.apply(number) == "apply":
                applied.append(number)
    assert applied == list(range(1, stream.last + 1))
    assert stream.last >= 11
