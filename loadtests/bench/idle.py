"""Measures what a connection costs that says nothing: memory of the node, and how long its collector stops it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from loadtests.bench import collecting_node, guests, usage
from loadtests.bench.plan import Plan
from loadtests.bench.relaying import PLENTY, Relay
from loadtests.bench.rows import Row, Void
from loadtests.bench.storm import Guest, Storm
from loadtests.servers import Asked

WARM = 500  # before the first look: as many handshakes at once as later, for what they take and give back stays
SETTLE_SECONDS = 2.0  # for what a handshake leaves behind to be let go
COLLECTIONS = 3  # asked for, one after another; the longest counts
PROGRAM = (sys.executable, "-m", "loadtests.bench.collecting_node")

AGENT_KIB = Row("idle-agent", "memory of an idle agent's connection", "KiB", 6.0, "less")
BROWSER_KIB = Row("idle-browser", "memory of an idle browser's connection", "KiB", 6.0, "less")
AGENT_PAUSE = Row("gc-pause-agents", "longest full garbage collection with that many agents", "ms", 20.0, "less")
BROWSER_PAUSE = Row("gc-pause-browsers", "longest full garbage collection with that many browsers", "ms", 20.0, "less")


class Idle:
    """As many agents as asked for at one node, then as many browsers at a fresh one."""

    name = "idle-memory"
    rows = (AGENT_KIB, BROWSER_KIB, AGENT_PAUSE, BROWSER_PAUSE)

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. Raises `Void` unless every connection was welcomed and stayed."""
        guests.allow_open_files()
        agent_kib, agent_pause = await _idle(plan, agents=True)
        browser_kib, browser_pause = await _idle(plan, agents=False)
        return {
            AGENT_KIB.name: agent_kib,
            AGENT_PAUSE.name: agent_pause,
            BROWSER_KIB.name: browser_kib,
            BROWSER_PAUSE.name: browser_pause,
        }


async def _idle(plan: Plan, *, agents: bool) -> tuple[float, float]:
    """KiB for each connection, and milliseconds of the longest full collection."""
    with tempfile.TemporaryDirectory(prefix="relay-idle-") as folder:
        path = str(Path(folder) / "collect")
        relay = Relay(Asked(told={"RELAY_HANDSHAKES": PLENTY, collecting_node.VARIABLE: path}, program=PROGRAM))
        try:
            await relay.start(1, plan.cores.servers)
            await usage.at_rest(relay.pids)
            count = WARM + plan.connections
            peers = await guests.agents(relay, count) if agents else guests.browsers(relay, count)
            return _held(relay.servers.pids["node-1"], path, peers)
        finally:
            await relay.stop()


def _held(node: int, path: str, peers: list[Guest]) -> tuple[float, float]:
    with Storm() as storm:
        storm.dial(peers[:WARM])
        storm.hold(SETTLE_SECONDS)
        collecting_node.ask(path)
        before = usage.resident_kib(node)
        storm.dial(peers[WARM:])
        storm.hold(SETTLE_SECONDS)
        if storm.failures:
            why, count = storm.failures.most_common(1)[0]
            raise Void(f"{storm.failures.total()} connections failed, {count} of them: {why}")
        kib = (usage.resident_kib(node) - before) / (len(peers) - WARM)
        asked = [collecting_node.ask(path) for _ in range(COLLECTIONS)]
        return kib, max(answer["tookMs"] for answer in asked)
