"""Measures authenticated handshakes, from TCP to the welcome, per CPU-second of the node that answers them."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.bench import guests, usage
from loadtests.bench.plan import Plan
from loadtests.bench.relaying import Relay
from loadtests.bench.rows import Row
from loadtests.bench.storm import IN_FLIGHT, Guest, Storm
from loadtests.servers import say

WARM = IN_FLIGHT  # of each kind before it is measured: caches of the person and the workspace are full then
UNIT = "handshakes per CPU-second of the node"
MICROSECONDS = 1_000_000

AGENTS = Row("handshakes-agents", "agents: TCP, upgrade, hello, welcome; 200 in flight", UNIT, 6_000, "more")
BROWSERS = Row("handshakes-browsers", "browsers: TCP, upgrade, hello, welcome; 200 in flight", UNIT, 6_000, "more")
FAILURES = Row("handshakes-failed", "handshakes that did not end in a welcome", "of all", 0, "less")
REDIS = Row("handshakes-redis", "Redis's part of an agent's handshake", "µs", None, "less")


class Handshakes:
    """Agents first, then browsers, at one node."""

    name = "handshakes"
    rows = (AGENTS, BROWSERS, FAILURES, REDIS)

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. A handshake that fails is counted and not judged twice: its work is in the CPU-seconds."""
        guests.allow_open_files()
        relay = Relay()
        try:
            await relay.start(1, plan.cores.servers)
            await usage.at_rest(relay.pids)
            node, engine = relay.servers.pids["node-1"], relay.servers.pids["engine"]
            agents = await guests.agents(relay, WARM + plan.handshakes)
            by_node, by_engine, failed = _storm(agents, (node, engine))
            browsers = guests.browsers(relay, WARM + plan.handshakes)
            by_node_again, _, failed_again = _storm(browsers, (node, engine))
        finally:
            await relay.stop()
        return {
            AGENTS.name: 1 / by_node,
            BROWSERS.name: 1 / by_node_again,
            FAILURES.name: failed + failed_again,
            REDIS.name: by_engine * MICROSECONDS,
        }


def _storm(peers: list[Guest], pids: tuple[int, int]) -> tuple[float, float, int]:
    """Seconds of each process per handshake, and how many failed."""
    with Storm() as storm:
        storm.dial(peers[:WARM])
        before = [usage.cpu_seconds([pid]) for pid in pids]
        storm.dial(peers[WARM:])
        used = [usage.cpu_seconds([pid]) - start for pid, start in zip(pids, before, strict=True)]
        done = len(storm.welcomed) - WARM
        for why, count in storm.failures.items():
            say("handshakes", f"{count} failed, {why}")
        return used[0] / max(done, 1), used[1] / max(done, 1), storm.failures.total()
