"""Counts what one run of our scenarios had servers do, and what they spent on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from loadtests.model.costs import BEAT_EVERY_SECONDS
from loadtests.model.work import Counts, distinct
from loadtests.report.measures import HOLD
from loadtests.report.summary import CPU, SPEED, Summary
from relay.rules.timing import FLUSH_SECONDS, PING_SECONDS, SEEN_SECONDS, SWEEP_SECONDS
from relay.store.keys import SHARDS

ASKS = {"fanout": 1.0, "production": 0.1, "storm": 1.0, "deploy": 1.0}  # questions a second of each person
SWEEPERS_MORE = 1  # than Redis at rest was measured with
# The phases that are counted: nobody comes and nobody goes in them, but for those whom the scenario makes come back.
PHASES = {"storm": (HOLD, "storm", "after"), "deploy": ("restart",)}


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
    machines: float
    teams: float = 1.0
    following: float = 0.0  # people who follow a team


def counted(summary: Summary, nodes: int) -> tuple[int, int, Counts]:
    """The seconds from and to which it is counted, and everything that happened in between; raises `Uncounted`."""
    names = PHASES.get(summary.scenario, (HOLD,))
    phases = [phase for phase in summary.phases if phase.name.startswith(names)]
    if not phases or summary.scenario not in SCENARIOS or not nodes:
        known = ", ".join(sorted(SCENARIOS))
        raise Uncounted(f"a run of {summary.scenario}: the model counts those of {known} that watched their servers")
    first, last = math.ceil(phases[0].begin), int(phases[-1].end)
    seconds = last - first
    if seconds < 1:
        raise Uncounted(f"a run of {summary.scenario} that held for less than a second")
    traffic = SCENARIOS[summary.scenario](summary.parameters, nodes)
    return first, last, _each(traffic, nodes).times(seconds).with_(**_once(summary, len(phases)))


def _each(traffic: Traffic, nodes: int) -> Counts:
    """Everything of a second."""
    away = 1 - 1 / nodes
    # Each process of the load lets all its people report at once, so a node reads and passes on many at one waking.
    reports = min(traffic.views / SEEN_SECONDS, traffic.heard)
    followed = nodes * distinct(traffic.teams, traffic.following / nodes)
    return Counts(
        beats=traffic.beats,
        pings=traffic.connections / PING_SECONDS + traffic.asked,
        incoming=traffic.said + traffic.typed + reports,
        delivered=traffic.heard + traffic.typed + reports,
        crossed=traffic.crossed + reports * away,
        together=reports,
        crossed_together=reports * away,
        scripts=SHARDS * SWEEPERS_MORE / SWEEP_SECONDS + distinct(SHARDS, traffic.teams) * nodes / FLUSH_SECONDS,
        followed=followed,
        followed_machines=followed * traffic.machines / traffic.teams,
        scrapes=nodes,  # the load test looks at them every second
    )


def _once(summary: Summary, phases: int) -> dict[str, float]:
    """What happened because nodes went, as the load counted it."""
    if summary.scenario not in PHASES:
        return {}
    back = {role: float(sum(codes.values())) for role, codes in summary.closes.items()}
    resumed = summary.latencies.get("resume")
    return {
        "agents": back.get("agent", 0.0),
        "browsers": back.get("browser", 0.0),
        "attached": float(resumed.count) if resumed is not None else 0.0,
        "starts": 1.0 if summary.scenario == "storm" else float(phases),
    }


def speed(summary: Summary, first: int, last: int) -> float | None:
    """Million additions that a second of the processor was worth meanwhile; None where nobody looked."""
    row = [value for value in summary.series.rows.get(SPEED, ())[first:last] if value]
    return mean(row) if row else None


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
        machines=machines,
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
        machines=machines,
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
        machines=size["machines"] + size["sessions"],
        teams=size["workspaces"],
        following=people,
    )


def _driven(size: Mapping[str, float], nodes: int, sessions: float, machines: float, watchers: float) -> Traffic:
    """Sessions with a driver, whose every input is echoed, and watchers, beside machines that only beat."""
    people = sessions * (1 + watchers) + size["followers"]
    said = sessions * (size["rate"] + size["typing"])
    typed = sessions * size["typing"]
    return Traffic(
        beats=machines / BEAT_EVERY_SECONDS,
        connections=machines + people,
        asked=people * ASKS["storm"],
        said=said,
        typed=typed,
        heard=said * (1 + watchers),
        crossed=said * (nodes - 1) * distinct(nodes, 1 + watchers) / nodes + typed * (1 - 1 / nodes),
        views=sessions * (1 + watchers),
        machines=machines,
        following=size["followers"],
    )


def _storm(size: Mapping[str, float], nodes: int) -> Traffic:
    return _driven(size, nodes, size["terminals"], size["machines"] + size["terminals"], 1.0)


def _deploy(size: Mapping[str, float], nodes: int) -> Traffic:
    return _driven(size, nodes, size["machines"], size["machines"], size["watchers"])


SCENARIOS = {
    "deploy": _deploy, "fanout": _fanout, "production": _production, "storm": _storm, "terminals": _terminals,
}  # fmt: skip
