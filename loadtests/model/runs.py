"""Counts what one run of our scenarios had servers do while nobody came and nobody went, and what they spent on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtests.model.costs import BEAT_EVERY_SECONDS
from loadtests.model.work import Counts
from loadtests.report.measures import HOLD
from loadtests.report.summary import CPU, Summary
from relay.rules.timing import PING_SECONDS, SEEN_SECONDS

ASKS = {"fanout": 1.0, "production": 0.1}  # questions a second of each person


class Uncounted(Exception):
    """Why a run does not say what servers had to do, as a sentence."""


class Traffic(NamedTuple):
    """What a scenario does in a second."""

    beats: float
    connections: float
    asked: float
    said: float  # frames of machines
    typed: float  # inputs of people, each acknowledged within what is said
    heard: float  # deliveries to people
    crossed: float
    views: float  # attachments


def counted(summary: Summary, nodes: int) -> tuple[int, int, Counts]:
    """The seconds from and to which it held, and everything that happened in between; raises `Uncounted`."""
    hold = next((phase for phase in summary.phases if phase.name == HOLD), None)
    if hold is None or summary.scenario not in SCENARIOS or not nodes:
        known = ", ".join(sorted(SCENARIOS))
        raise Uncounted(f"a run of {summary.scenario}: the model counts those of {known} that watched their servers")
    first, last = math.ceil(hold.begin), int(hold.end)
    seconds, away = last - first, 1 - 1 / nodes
    if seconds < 1:
        raise Uncounted(f"a run of {summary.scenario} that held for less than a second")
    traffic = SCENARIOS[summary.scenario](summary.parameters, nodes)
    # Each process of the load lets all its people report at once, so a node reads and passes on many at one waking.
    reports = min(traffic.views / SEEN_SECONDS, traffic.heard)
    each = Counts(
        beats=traffic.beats,
        pings=traffic.connections / PING_SECONDS + traffic.asked,
        incoming=traffic.said + traffic.typed + reports,
        delivered=traffic.heard + traffic.typed + reports,
        crossed=traffic.crossed + reports * away,
        together=reports,
        crossed_together=reports * away,
    )
    return first, last, each.times(seconds)


def spent(summary: Summary, processes: Sequence[str], first: int, last: int) -> float:
    """CPU-seconds of these processes between two seconds of the run."""
    rows = [summary.series.rows[CPU + name][first:last] for name in processes]
    return sum(value for row in rows for value in row if value is not None) / 100 * summary.series.interval_seconds


def _fanout(size: Mapping[str, float], nodes: int) -> Traffic:
    machines, watchers = size["sessions"], size["watchers"]
    said, views = machines * size["rate"], machines * watchers
    return Traffic(
        beats=machines / BEAT_EVERY_SECONDS,
        connections=machines + views,
        asked=views * ASKS["fanout"],
        said=said,
        typed=0.0,
        heard=said * watchers,
        crossed=said * min(nodes - 1, watchers),
        views=views,
    )


def _terminals(size: Mapping[str, float], nodes: int) -> Traffic:
    machines = size["terminals"]
    each = machines * size["each"] / size["bytes"]
    return Traffic(
        beats=machines / BEAT_EVERY_SECONDS,
        connections=2 * machines,
        asked=0.0,
        said=each,
        typed=each,
        heard=each,
        crossed=2 * each * (1 - 1 / nodes),
        views=machines,
    )


def _production(size: Mapping[str, float], nodes: int) -> Traffic:
    """A third of the messages are typed, a third are echoes of those, a third are said without being asked."""
    people = size["people"]
    return Traffic(
        beats=size["machine-beats"] + size["session-beats"],
        connections=size["machines"] + size["sessions"] + people,
        asked=people * ASKS["production"],
        said=size["messages"] * 2 / 3,
        typed=size["messages"] / 3,
        heard=size["messages"] * 2 / 3,
        crossed=size["messages"] * (1 - 1 / nodes),
        views=people * size["attached"],
    )


SCENARIOS = {"fanout": _fanout, "terminals": _terminals, "production": _production}
