import math

import pytest

from relay.errors import Invalid
from relay.rules import rhythm, timing
from relay.rules.rhythm import Chosen, Rhythm, contradictions, read


def of(**values: float) -> Rhythm:
    return Chosen(values={name.upper(): value for name, value in values.items()}).rhythm


def test_what_nobody_chose_is_as_the_code_says() -> None:
    agreed = timing.agreed()
    assert rhythm.values(Rhythm()) == {name: agreed[name] for name in rhythm.RANGES}
    assert contradictions(Rhythm(), Rhythm()) == []


def test_a_choice_of_a_newer_version_is_kept_as_far_as_it_is_known() -> None:
    assert Chosen(values={"BEAT_SECONDS": 5.0, "TEA_SECONDS": 3.0}).rhythm == of(beat_seconds=5.0)


def test_an_operator_says_names_and_seconds() -> None:
    assert read(["BEAT_SECONDS=5", " sweep_seconds = 0.5 "]) == {"BEAT_SECONDS": 5.0, "SWEEP_SECONDS": 0.5}
    assert read(["FLUSH_SECONDS=default"]) == {"FLUSH_SECONDS": None}


def test_a_time_that_is_taken_back_is_chosen_no_more() -> None:
    wanted = read(["BEAT_SECONDS=default", "SWEEP_SECONDS=1", "CHANGES_SECONDS=default"])
    chosen = rhythm.with_words({"BEAT_SECONDS": 5.0, "FLUSH_SECONDS": 6.0, "TEA_SECONDS": 3.0}, wanted)
    assert chosen == {"FLUSH_SECONDS": 6.0, "SWEEP_SECONDS": 1.0, "TEA_SECONDS": 3.0}


def test_a_flush_may_be_late_and_must_not_fail() -> None:
    _, least, most, _ = rhythm.RANGES["FLUSH_SECONDS"]
    assert most + 1 < timing.MARKER_QUIET_SECONDS < 2 * least


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["BEAT_SECONDS"], "'BEAT_SECONDS' is not NAME=SECONDS"),
        (["TEA_SECONDS=5"], "TEA_SECONDS is no time of a cluster; these can: BEAT_SECONDS, "),
        (["OFFLINE_SECONDS=60"], "OFFLINE_SECONDS cannot be changed in a cluster; these can: BEAT_SECONDS, "),
        (["BEAT_SECONDS=5", "beat_seconds=6"], "BEAT_SECONDS is named twice"),
        (["BEAT_SECONDS=soon"], "BEAT_SECONDS=soon is no number of seconds"),
        (["BEAT_SECONDS=nan"], "BEAT_SECONDS=nan is no number of seconds"),
        (["BEAT_SECONDS=inf"], "BEAT_SECONDS=inf is no number of seconds"),
        (["BEAT_SECONDS=-1"], "BEAT_SECONDS=-1 is no number of seconds"),
    ],
)
def test_what_no_cluster_can_keep_is_refused_in_a_sentence(words: list[str], why: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(words)
    assert refused.value.message.startswith(why)


@pytest.mark.parametrize("name", rhythm.RANGES)
def test_each_time_has_a_least_and_a_most(name: str) -> None:
    _, least, most, why = rhythm.RANGES[name]
    for fine in (least, most):
        assert not [each for each in contradictions(Rhythm(), of(**{name.lower(): fine})) if " is not between " in each]
    for wrong in (math.nextafter(least, 0), math.nextafter(most, math.inf)):
        assert contradictions(Rhythm(), of(**{name.lower(): wrong}))[0].endswith(
            f"between {least:g} and {most:g}: {why}"
        )


def test_a_machine_that_beats_too_rarely_for_redis_to_be_believed_again_is_refused() -> None:
    (why,) = contradictions(of(beat_seconds=9.5), of(beat_seconds=9.5, flush_seconds=6))
    assert why.startswith(
        "BEAT_SECONDS=9.5 with FLUSH_SECONDS=6: after Redis lost its memory not every machine is back"
    )


def test_two_changes_that_are_sound_in_the_end_and_not_on_the_way_are_refused_together() -> None:
    """A machine beats as its welcome said until it connects again, and nodes flush by the new time at once."""
    wanted = of(beat_seconds=5, flush_seconds=6)
    (why,) = contradictions(Rhythm(), wanted)
    assert why.startswith("BEAT_SECONDS=10 with FLUSH_SECONDS=6: ")
    assert why.endswith("and on the way they meet: change one after the other")
    assert contradictions(Rhythm(), of(beat_seconds=5)) == contradictions(of(beat_seconds=5), wanted) == []
