"""Measures what a connection costs that says nothing: memory of the node, and how long its collector stops it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from loadtests.bench import collecting_node, guests, usage
from loadtests.bench.plan import Plan
from loadtests.bench.relaying import PLENTY, Relay
from loadtests.bench.rows import Row, Void
from loadtests.bench.storm import Guest, Storm
from loadtests.servers import Asked

# The first look is when a third is there: what starting up and the first handshakes gave back is used again by then,
# and would make the first thousands look free.
FIRST_PART = 3
SETTLE_SECONDS = 2.0  # for what a handshake leaves behind to be let go
COLLECTIONS = 3  # asked for, one after another; the longest counts, be it one of these or one that came by itself
PROGRAM = (sys.executable, "-m", "loadtests.bench.collecting_node")

AGENT_KIB = Row("idle-agent", "memory of an idle agent's connection", "KiB", 6.0, "less")
BROWSER_KIB = Row("idle-browser", "memory of an idle browser's connection", "KiB", 6.0, "less")
AGENT_PAUSE = Row("gc-pause-agents", "longest full garbage collection with that many agents", "ms", 20.0, "less")
BROWSER_PAUSE = Row("gc-pause-browsers", "longest full garbage collection with that many browsers", "ms", 20.0, "less")
AGENT_OBJECTS = Row("gc-objects-agent", "what the collector looks at for an idle agent", "objects", None, "less")
BROWSER_OBJECTS = Row("gc-objects-browser", "and for an idle browser", "objects", None, "less")


class Held(NamedTuple):
    """What one kind of connection costs."""

    kib: float
    pause_ms: float
    objects: float


class Idle:
    """As many agents as asked for at one node, then as many browsers at a fresh one."""

    name = "idle-memory"
    rows = (AGENT_KIB, BROWSER_KIB, AGENT_PAUSE, BROWSER_PAUSE, AGENT_OBJECTS, BROWSER_OBJECTS)

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. Raises `Void` unless every connection was welcomed and stayed."""
        guests.allow_open_files()
        agent = await _idle(plan, agents=True)
        browser = await _idle(plan, agents=False)
        return {
            AGENT_KIB.name: agent.kib,
            BROWSER_KIB.name: browser.kib,
            AGENT_PAUSE.name: agent.pause_ms,
            BROWSER_PAUSE.name: browser.pause_ms,
            AGENT_OBJECTS.name: agent.objects,
            BROWSER_OBJECTS.name: browser.objects,
        }


async def _idle(plan: Plan, *, agents: bool) -> Held:
    with tempfile.TemporaryDirectory(prefix="relay-idle-") as folder:
        path = str(Path(folder) / "collect")
        relay = Relay(Asked(told={"RELAY_HANDSHAKES": PLENTY, collecting_node.VARIABLE: path}, program=PROGRAM))
        try:
            await relay.start(1, plan.cores.servers)
            await usage.at_rest(relay.pids)
            count = plan.connections
            peers = await guests.agents(relay, count) if agents else guests.browsers(relay, count)
            return _held(relay.servers.pids["node-1"], path, peers)
        finally:
            await relay.stop()


def _held(node: int, path: str, peers: list[Guest]) -> Held:
    first = len(peers) // FIRST_PART
    with Storm() as storm:
        storm.dial(peers[:first])
        storm.hold(SETTLE_SECONDS)
        objects, kib = collecting_node.ask(path)["objects"], usage.resident_kib(node)
        storm.dial(peers[first:])
        storm.hold(SETTLE_SECONDS)
        if storm.failures:
            why, count = storm.failures.most_common(1)[0]
            raise Void(f"{storm.failures.total()} connections failed, {count} of them: {why}")
        kib = usage.resident_kib(node) - kib
        asked = [collecting_node.ask(path) for _ in range(COLLECTIONS)]
        more = len(peers) - first
        longest = max(max(answer["tookMs"], answer["longestMs"]) for answer in asked)
        return Held(kib / more, longest, (asked[-1]["objects"] - objects) / more)
