"""Sizes a cluster for a fleet: nodes, Redis, proxies, memory and network, each with what decided it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.model.costs import BEAT_EVERY_SECONDS, MICROSECONDS, Costs
from loadtests.model.fleet import Fleet
from loadtests.model.work import Counts, cores, distinct, redis_cores
from relay.registry.engines import POOL_CONNECTIONS
from relay.rules.timing import (
    CHANGES_SECONDS,
    FLUSH_SECONDS,
    LAST_SEEN_BATCH_SECONDS,
    PING_SECONDS,
    SEEN_SECONDS,
    SWEEP_SECONDS,
)
from relay.store.keys import SHARDS

SWEEPERS = 2
STORM_BUSY = 0.9  # of a processor while everybody of a lost zone comes back: that is what headroom is for
LEAST_NODES = 2  # of those that are left: one that drains needs another
ENVELOPE_BYTES = 110  # of a frame on the wire beside its payload: Ethernet, IP, TCP, WebSocket, our header
SMALL_BYTES = 90  # of a beat or a ping
EVENT_BYTES = 400  # that tells browsers of a machine
MACHINE_BYTES = 520  # of a machine in a list
ROW_BYTES = 2_048  # of a machine in SQL, indexes and one key included: assumed, not measured
MIB = 2**20


@dataclass(frozen=True)
class Need:
    """How many nodes one resource asks for, of those that are left when a zone is lost."""

    what: str
    nodes: int
    why: str


@dataclass(frozen=True)
class Sizing:
    """What a fleet needs."""

    fleet: Fleet
    nodes: int
    left: int  # of them when a zone is lost
    needs: tuple[Need, ...]  # the greatest first
    redis: int  # primaries; each has a replica in another zone
    redis_why: str
    redis_cores: float  # of all primaries, while nothing happens that is not daily
    redis_bytes: float
    node_cores: float  # of all nodes, the same
    node_work: tuple[tuple[str, float], ...]  # for what, as parts of that without being woken, the greatest first
    node_bytes: float  # of each node, everybody on those that are left
    kernel_bytes: float  # of each node's host, for its sockets
    proxies: int
    proxy_sockets: float  # of each
    network_bits: float  # of all nodes, both ways, in a second
    redis_bits: float  # of all primaries
    returning_seconds: float  # if only processors of nodes limit it
    sql_bytes: float
    sql_queries: float
    sql_connections: int


def steady(fleet: Fleet, nodes: int) -> Counts:
    """What happens in a second of an ordinary day."""
    said, typed = fleet.talking * fleet.frames, fleet.talking * fleet.inputs
    reports = fleet.talking * fleet.watchers * min(fleet.frames, 1 / SEEN_SECONDS)
    away = 1 - 1 / nodes  # the part of all pairs that are on different nodes
    followed = nodes * distinct(fleet.machines / fleet.workspace_machines, fleet.browsers / nodes)
    return Counts(
        beats=fleet.machines / BEAT_EVERY_SECONDS,
        pings=fleet.connections / PING_SECONDS,
        incoming=said + typed + reports,
        delivered=said * fleet.watchers + typed + reports + _told(fleet),
        crossed=(said * fleet.watchers + typed + reports) * away,
        listed=fleet.browsers * fleet.lists / 3600 * fleet.workspace_machines,
        scripts=SHARDS * (SWEEPERS / SWEEP_SECONDS + nodes / FLUSH_SECONDS),
        followed=followed,
        followed_machines=followed * min(fleet.machines, fleet.workspace_machines),
        scrapes=nodes / fleet.scrape_seconds,
    )


def storm(fleet: Fleet) -> Counts:
    """What is to be done once for everybody of one zone who comes back."""
    part = 1 / fleet.zones if fleet.zones > 1 else 1 / 2
    return Counts(
        agents=fleet.machines * part,
        browsers=fleet.browsers * part,
        listed=fleet.browsers * part * fleet.workspace_machines,
        attached=fleet.talking * fleet.watchers * (1 - (1 - part) ** 2),  # either side was there
    )


def size(fleet: Fleet, costs: Costs) -> Sizing:
    """What this fleet needs by these costs."""
    nodes, needs = LEAST_NODES, _needs(fleet, costs, LEAST_NODES)
    for _ in range(8):  # what goes between nodes depends a little on how many there are
        before, nodes = nodes, _spread(needs[0].nodes, fleet.zones)
        if nodes == before:
            break
        needs = _needs(fleet, costs, nodes)
    left = _left(nodes, fleet.zones)
    counts = steady(fleet, nodes)
    redis, why, redis_daily, redis_bytes = _redis(fleet, costs, counts)
    enough = math.ceil(fleet.connections / fleet.proxy_sockets)
    node_cores = cores(counts, costs, 1 - fleet.headroom) * (1 - fleet.headroom)
    free = left * STORM_BUSY - node_cores
    return Sizing(
        fleet=fleet,
        nodes=nodes,
        left=left,
        needs=needs,
        redis=redis,
        redis_why=why,
        redis_cores=redis_daily,
        redis_bytes=redis_bytes,
        node_cores=node_cores,
        node_work=_shares(counts.parts(costs)),
        node_bytes=_held(fleet, costs, left),
        kernel_bytes=fleet.connections / left * costs["socket-bytes"].value,
        proxies=_spread(enough, fleet.zones),
        proxy_sockets=fleet.connections / _left(_spread(enough, fleet.zones), fleet.zones),
        network_bits=_network(fleet, counts) * 8,
        redis_bits=counts.crossed * 2 * (fleet.frame_bytes + ENVELOPE_BYTES) * 8,
        returning_seconds=storm(fleet).node_us(costs) / MICROSECONDS / free,
        sql_bytes=fleet.machines * ROW_BYTES,
        sql_queries=nodes / CHANGES_SECONDS + fleet.machines * fleet.changes / 3600,
        sql_connections=(nodes + SWEEPERS) * POOL_CONNECTIONS,
    )


def _shares(parts: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    all_ = sum(parts.values()) or 1.0
    return tuple(sorted(((name, part / all_) for name, part in parts.items()), key=lambda one: -one[1]))


def _spread(enough: int, zones: int) -> int:
    """So many, as many in each zone, that enough are left when a zone is lost, or a server where there is one zone."""
    return enough + 1 if zones == 1 else math.ceil(enough / (zones - 1)) * zones


def _left(all_: int, zones: int) -> int:
    return all_ - 1 if zones == 1 else all_ * (zones - 1) // zones


def _needs(fleet: Fleet, costs: Costs, nodes: int) -> tuple[Need, ...]:
    counts, coming = steady(fleet, nodes), storm(fleet)
    spare = 1 - 1 / fleet.zones if fleet.zones > 1 else 1.0
    daily = cores(counts, costs, 1 - fleet.headroom) * spare
    busy = cores(counts, costs, STORM_BUSY) + coming.node_us(costs) / MICROSECONDS / fleet.return_seconds / STORM_BUSY
    room = fleet.node_mib * MIB - costs["node-bytes"].value
    each = _held(fleet, costs, 1) - costs["node-bytes"].value
    memory = math.ceil(each / room) if room > 0 else 10**6
    found = (
        Need(
            "processors, every day", math.ceil(daily), f"{fleet.headroom:.0%} of each stays free with all zones there"
        ),
        Need(
            "processors, a zone lost",
            math.ceil(busy),
            f"everybody of it is back in {fleet.return_seconds:g} s, at {STORM_BUSY:.0%} of what is left",
        ),
        Need("sockets", math.ceil(fleet.connections / fleet.sockets), f"{fleet.sockets:,} at each node"),
        Need("memory", memory, f"{fleet.node_mib:g} MiB for each node"),
        Need("nodes at all", LEAST_NODES, "one that drains needs another"),
    )
    return tuple(sorted(found, key=lambda need: -need.nodes))


def _told(fleet: Fleet) -> float:
    """Messages about machines that browsers are told in a second."""
    return fleet.browsers * (fleet.workspace_machines * fleet.changes / 3600 + 1 / LAST_SEEN_BATCH_SECONDS)


def _held(fleet: Fleet, costs: Costs, nodes: int) -> float:
    """Memory of each of so many nodes that share everybody."""
    held = fleet.machines * costs["agent-bytes"].value + fleet.browsers * costs["browser-bytes"].value
    return costs["node-bytes"].value + held / nodes


def _redis(fleet: Fleet, costs: Costs, counts: Counts) -> tuple[int, str, float, float]:
    """Primaries, what decided that, and their cores and bytes in all."""
    used = 1 - fleet.headroom
    daily = redis_cores(counts, costs, used) * used
    coming = daily + storm(fleet).redis_us(costs) / MICROSECONDS / fleet.return_seconds
    held = costs["redis-bytes"].value + fleet.machines * costs["machine-redis-bytes"].value
    needs = (
        (math.ceil(daily / used), f"{daily:.2f} cores every day, {fleet.headroom:.0%} free"),
        (math.ceil(coming / STORM_BUSY), f"{coming:.2f} cores while a zone comes back"),
        (math.ceil(held / (fleet.redis_mib * MIB)), f"{held / MIB:,.0f} MiB"),
    )
    most, why = max(needs, key=lambda need: need[0])
    return most, why, daily, held


def _network(fleet: Fleet, counts: Counts) -> float:
    """Bytes a second that nodes read and write, on the bus too."""
    frames = fleet.talking * fleet.frames
    said = (frames * (1 + fleet.watchers) + 2 * fleet.talking * fleet.inputs) * (fleet.frame_bytes + ENVELOPE_BYTES)
    reports = 2 * fleet.talking * fleet.watchers * min(fleet.frames, 1 / SEEN_SECONDS)
    small = (counts.beats + 2 * counts.pings + reports) * SMALL_BYTES
    crossing = 2 * counts.crossed * (fleet.frame_bytes + ENVELOPE_BYTES)
    return said + small + _told(fleet) * EVENT_BYTES + crossing + counts.listed * MACHINE_BYTES
