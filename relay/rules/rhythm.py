"""Decides which times an operator may change while a cluster runs, and refuses those that do not go together.

A change does not reach everybody at the same instant, and an agent of an older version keeps the beat that its welcome
named. So every mix of what was and what will be must be sound too: then nobody is announced offline for a change,
however it spreads.

The bands (`LIVE_SECONDS`, `OFFLINE_SECONDS`), graces and leases are not among them: clients are promised the first, and
the others are written into what Redis keeps, where one value would be read by the measure of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from msgspec import Struct

from relay.errors import Invalid
from relay.rules import timing

LIVE_BEATS = 3  # as many beats a machine is live for: two may be lost
LATE_SECONDS = 1.5  # by which a flush may come late, on a busy host or to a busy Redis, and is not missed


class Rhythm(Struct, frozen=True, kw_only=True):
    """How often what is done again and again; a field is called like its constant in `timing`."""

    beat_seconds: float = timing.BEAT_SECONDS
    flush_seconds: float = timing.FLUSH_SECONDS
    sweep_seconds: float = timing.SWEEP_SECONDS
    changes_seconds: float = timing.CHANGES_SECONDS
    last_seen_batch_seconds: float = timing.LAST_SEEN_BATCH_SECONDS


class Chosen(Struct, frozen=True, kw_only=True):
    """What an operator chose last, which holds until the next choice. Revision 0 is none at all."""

    revision: int = 0
    from_ms: int = 0  # by Redis's clock
    values: dict[str, float] = {}  # by the constant's name; what is not here is as the code says

    @property
    def rhythm(self) -> Rhythm:
        """All of the times; what is of a newer version and not known here is left out."""
        return Rhythm(**{name.lower(): value for name, value in self.values.items() if name in RANGES})


class Range(NamedTuple):
    """What a time is, its least and most, and why those."""

    meaning: str
    least: float
    most: float
    why: str


RANGES = {
    "BEAT_SECONDS": Range(
        "between two beats of an agent, told to it in its welcome",
        1.0,
        timing.LIVE_SECONDS / LIVE_BEATS,
        "more beats would be most of what a node does, and fewer show a machine degraded for two that are lost",
    ),
    "FLUSH_SECONDS": Range(
        "between two times that a node tells Redis whom it heard",
        4.0,
        timing.MARKER_QUIET_SECONDS - LATE_SECONDS,
        "within MARKER_QUIET_SECONDS one that is late is not missed, and one that fails is",
    ),
    "SWEEP_SECONDS": Range(
        "between two looks of a sweeper for machines whose deadline has passed",
        0.5,
        5.0,
        "whoever waits is told within five seconds that a machine is offline",
    ),
    "CHANGES_SECONDS": Range(
        "between two looks at the table of changes, without a bell",
        0.5,
        10.0,
        "a machine that is revoked is out within ten seconds, also when no bell rings",
    ),
    "LAST_SEEN_BATCH_SECONDS": Range(
        "between two batches of last-seen times to a browser",
        2.0,
        timing.LIVE_SECONDS,
        "what is shown as live was heard of within LIVE_SECONDS",
    ),
}


def values(rhythm: Rhythm) -> dict[str, float]:
    """Each time by its constant's name."""
    return {name: float(getattr(rhythm, name.lower())) for name in RANGES}


def read(words: Sequence[str]) -> dict[str, float | None]:
    """What an operator chose, as `NAME=SECONDS` or `NAME=default`, which is None; raises `Invalid` naming what it
    cannot be."""
    chosen: dict[str, float | None] = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        name = name.upper()
        if not equals:
            raise Invalid(f"{word!r} is not NAME=SECONDS")
        if name not in RANGES:
            fixed = "cannot be changed in a cluster" if name in timing.agreed() else "is no time of a cluster"
            raise Invalid(f"{name} {fixed}; these can: {', '.join(RANGES)}")
        if name in chosen:
            raise Invalid(f"{name} is named twice")
        chosen[name] = None if text == "default" else _seconds(name, text)
    return chosen


def with_words(before: Mapping[str, float], wanted: Mapping[str, float | None]) -> dict[str, float]:
    """What is chosen once an operator has said what they want changed: a time that is taken back is chosen no more."""
    together = {**before, **wanted}
    return {name: value for name, value in together.items() if value is not None}


def contradictions(before: Rhythm, after: Rhythm) -> list[str]:
    """A sentence for each thing that would go wrong on the way from one to the other, or there."""
    wrong = []
    for name, value in values(after).items():
        _, least, most, why = RANGES[name]
        if not least <= value <= most:
            wrong.append(f"{name}={value:g} is not between {least:g} and {most:g}: {why}")
    if wrong:
        return wrong
    for beat, flush in product((after.beat_seconds, before.beat_seconds), (after.flush_seconds, before.flush_seconds)):
        sentence = _together(beat, flush)
        if sentence is not None:
            then = (beat, flush) == (after.beat_seconds, after.flush_seconds)
            return [sentence if then else f"{sentence}, and on the way they meet: change one after the other"]
    return []


def _together(beat: float, flush: float) -> str | None:
    if 2 * (beat + flush) <= timing.UNSETTLED_SECONDS:
        return None
    return (
        f"BEAT_SECONDS={beat:g} with FLUSH_SECONDS={flush:g}: after Redis lost its memory not every machine is back "
        f"within UNSETTLED_SECONDS={timing.UNSETTLED_SECONDS:g}"
    )


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise Invalid(f"{name}={text} is no number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise Invalid(f"{name}={text} is no number of seconds")
    return seconds
