"""Names what is measured of a node at each moment that somebody asks."""

from __future__ import annotations

from relay.node.beats import Beats
from relay.node.changes import Tail
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.node.meters import Meters
from relay.node.outage import Outage
from relay.node.pauses import Pauses
from relay.store import Bus


def watch_peers(meters: Meters, hub: Hub, pauses: Pauses) -> None:
    """Who is connected, and how long they are kept waiting by what this process does for itself."""
    watch = meters.watch
    watch("relay_agents", "Agents connected to this node", lambda: len(hub.agents))
    watch("relay_browsers", "Browsers connected to this node", lambda: len(hub.browsers))
    watch("relay_gc_pause_seconds", "The latest full garbage collection", lambda: pauses.latest_seconds)
    watch("relay_gc_longest_pause_seconds", "The longest one so far", lambda: pauses.longest_seconds)


def watch_cluster(meters: Meters, bus: Bus, beats: Beats, lanes: Lanes, outage: Outage, tail: Tail) -> None:
    """How this node stands with the others, with Redis and with the registry."""
    watch = meters.watch
    watch("relay_bus_deaf", "1 while this node cannot hear all that it listens to", lambda: float(bus.deaf))
    watch("relay_bus_round_trip_seconds", "The bus's latest probe", lambda: bus.round_trip_seconds or 0.0)
    watch("relay_bus_waiting_bytes", "Published and not yet taken by Redis", lambda: bus.waiting_bytes)
    watch("relay_lanes_bytes", "Sent to nodes that have not said they took it", lambda: lanes.under_way_bytes)
    watch("relay_shards_away", "Shards of presence that are away, as far as beats tell", lambda: len(beats.away))
    watch("relay_redis_lost", "1 while this node has had no Redis for too long", lambda: float(outage.lost))
    watch("relay_changes_number", "The change of access that this node has acted on", lambda: tail.number)
    watch("relay_changes_age_seconds", "Since this node last knew every change", lambda: tail.age_seconds())
    watch("relay_registry_away", "1 while the registry does not answer", lambda: float(tail.away()))
