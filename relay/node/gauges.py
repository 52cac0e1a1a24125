"""Shows what the parts of a node know of themselves, at each moment that somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeVar

from relay.node.beats import Beats
from relay.node.changes import Tail
from relay.node.hub import Hub
from relay.node.keepalive import Keepalive
from relay.node.lanes import Lanes
from relay.node.membership import Membership
from relay.node.meters import Meters
from relay.node.outage import Outage
from relay.node.pauses import Pauses
from relay.node.traffic import Traffic
from relay.rules import metrics
from relay.store import Bus

K = TypeVar("K", bound=Hashable)


def watch_peers(meters: Meters, hub: Hub, keepalive: Keepalive) -> None:
    """Who is connected, and who is behind in reading."""
    watch = meters.watch
    watch(metrics.AGENTS, lambda: len(hub.agents))
    watch(metrics.BROWSERS, lambda: len(hub.browsers))
    watch(metrics.SESSIONS, lambda: sum(len(agent.sessions) for agent in hub.agents.values()))
    watch(metrics.ATTACHMENTS, lambda: sum(len(browser.attachments) for browser in hub.browsers))
    watch(metrics.OUTBOXES, lambda: sum(keepalive.backlogs()))
    watch(metrics.BEHIND, lambda: sum(1 for _ in keepalive.backlogs()))
    watch(metrics.OUTBOX, lambda: max(keepalive.backlogs(), default=0))


def watch_work(meters: Meters, hub: Hub, traffic: Traffic) -> None:
    """What flows, and what became of what people asked for."""
    for metric, peer, reading in traffic.readings():
        meters.watch(metric, reading, peer)
    outcomes = hub.outcomes
    meters.watch(metrics.MOVES, lambda: outcomes.moves)
    for metric, counter in (
        (metrics.ATTACHES, outcomes.attaches),
        (metrics.RESUMES, outcomes.resumes),
        (metrics.ENDS, outcomes.ends),
    ):
        for (value,) in metric.combinations():
            meters.watch(metric, _reading(counter, value), value)
    for operation, tally in outcomes.request_seconds.items():
        meters.tally(metrics.REQUEST, operation, shown=tally)
    for operation, outcome in metrics.REQUESTS.combinations():
        meters.watch(metrics.REQUESTS, _reading(outcomes.requests, (operation, outcome)), operation, outcome)


def watch_cluster(meters: Meters, bus: Bus, beats: Beats, lanes: Lanes, outage: Outage, tail: Tail) -> None:
    """How this node stands with the others, with Redis and with the registry."""
    watch = meters.watch
    watch(metrics.BUS_DEAF, lambda: float(bus.deaf))
    watch(metrics.BUS_TRIP, lambda: bus.round_trip_seconds or 0.0)
    watch(metrics.BUS_WAITING, lambda: bus.waiting_bytes)
    watch(metrics.BUS_LOSSES, lambda: bus.losses)
    watch(metrics.LANES, lambda: lanes.under_way_bytes)
    watch(metrics.SHARDS_AWAY, lambda: len(beats.away))
    watch(metrics.REDIS_LOST, lambda: float(outage.lost))
    watch(metrics.CHANGES, lambda: tail.number)
    watch(metrics.CHANGES_AGE, lambda: tail.age_seconds())
    watch(metrics.REGISTRY_AWAY, lambda: float(tail.away()))


def watch_life(
    meters: Meters, membership: Membership, readiness: Callable[[], list[str]], beats: Beats, pauses: Pauses
) -> None:
    """Whether this node takes newcomers, and how long its peers are kept waiting by what it does for itself."""
    watch = meters.watch
    watch(metrics.NODES, lambda: len(membership.boots()) + 1)
    for reason in metrics.UNREADY.values:
        watch(metrics.UNREADY_FOR, _holds(readiness, reason), reason)
    watch(metrics.STANDSTILLS, lambda: beats.standstill.count)
    watch(metrics.PAUSE, lambda: pauses.latest_seconds)
    watch(metrics.LONGEST, lambda: pauses.longest_seconds)


def _reading(counter: Counter[K], key: K) -> Callable[[], float]:
    return lambda: counter[key]


def _holds(reasons: Callable[[], list[str]], reason: str) -> Callable[[], float]:
    return lambda: float(reason in reasons())
