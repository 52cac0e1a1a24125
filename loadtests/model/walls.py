"""Says what gives way first when a fleet grows: of what is there, and of what no further server helps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from loadtests.model.costs import MICROSECONDS, Costs
from loadtests.model.sizing import MIB, Sizing
from relay.registry.engines import POOL_CONNECTIONS
from relay.rules.timing import LANE_TICK_SECONDS
from relay.store.keys import SHARDS

SQL_QUERIES = 2_000  # a second that one PostgreSQL answers without being noticed: assumed, not measured


@dataclass(frozen=True)
class Wall:
    """Something that gives way when the fleet is so many times as large."""

    what: str
    times: float
    then: str  # what to do


def walls(sizing: Sizing, costs: Costs) -> list[Wall]:
    """The nearest first: where processors have nothing free, and memory, sockets and connections are all taken."""
    fleet, nodes = sizing.fleet, sizing.nodes
    # What there is of memory beside what a process takes that holds nobody.
    own, theirs = costs["node-bytes"].value, sizing.node_bytes - costs["node-bytes"].value
    found = [
        Wall("processors of nodes", nodes / sizing.node_cores, "add nodes"),
        Wall(
            "sockets of nodes, a zone lost",
            sizing.left * fleet.sockets / fleet.connections,
            "add nodes, or raise RELAY_SOCKETS",
        ),
        Wall("memory of nodes, a zone lost", (fleet.node_mib * MIB - own) / theirs, "add nodes"),
        Wall("Redis's processors", sizing.redis / sizing.redis_cores, "add primaries"),
        Wall("Redis's memory", sizing.redis * fleet.redis_mib * MIB / sizing.redis_bytes, "add primaries"),
        Wall(
            "PostgreSQL's connections",
            fleet.database_connections / sizing.sql_connections,
            f"raise max_connections: each node and sweeper takes up to {POOL_CONNECTIONS}",
        ),
        Wall(
            "PostgreSQL's queries",
            SQL_QUERIES / sizing.sql_queries,
            "give it more processors; nobody's frame waits for it",
        ),
        Wall(
            f"all {SHARDS} shards, a Redis core for each",
            _shards(sizing, costs),
            "nothing: split the fleet into two clusters",
        ),
    ]
    return sorted(found, key=lambda wall: wall.times)


def _shards(sizing: Sizing, costs: Costs) -> float:
    """When every shard has a Redis of its own and all are full. What grows with the fleet, and what with its square:
    each node tells each other node once a second that it told it everything."""
    grows = sizing.redis_cores
    square = sizing.nodes * (sizing.nodes - 1) / LANE_TICK_SECONDS * costs["crossing-redis"].value / MICROSECONDS
    return (math.sqrt(grows**2 + 4 * square * SHARDS) - grows) / (2 * square)
