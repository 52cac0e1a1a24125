"""Shows that masses of garbage leave nothing behind in a node: no task, no file, no object of ours, no memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.rules import frames, limits
from relay.rules.websocket import BINARY
from tests.hostile.masses import Mass
from tests.hostile.neighbours import Neighbours
from tests.support.bare import BareMachine, a_session, bare, output
from tests.support.client_stream import FINAL, client_frame
from tests.support.cluster import Cluster, Part, Team
from tests.support.metrics import Metrics
from tests.support.ports import free_ports

CONNECTS = int(os.environ.get("HOSTILE_CONNECTS", "3000"))  # 50,000 take half a minute of two processors
GARBAGE = int(os.environ.get("HOSTILE_FRAMES", "50000"))  # half of them well-formed and for nobody
WARMING = 500  # connections, after which what is made once has been made
GROWTH_BYTES = 8 * limits.MIB  # of the process, whose allocator keeps what it once had
MOMENTARY = 5  # tasks that a node begins and ends by itself all the time
POOLED = 10  # files more: connections to Redis and the registry, of which a busy node keeps some more than a quiet one
OBJECTS = 2_000  # more or fewer in all; one left behind by each connection would be more


class Holding:
    """What a node holds at one moment."""

    def __init__(self, node: Part) -> None:
        looks = node.output().count("holds {") + 1
        node.process.send_signal(signal.SIGUSR1)
        said: dict[str, Any] = json.loads(node.says("holds ", times=looks).partition("holds ")[2])
        process = Path(f"/proc/{node.process.pid}")
        self.tasks: int = said["tasks"]
        self.ours: dict[str, int] = said["ours"]
        self.objects: int = said["objects"]
        self.files = len(list((process / "fd").iterdir()))

    def is_like(self, before: Holding) -> None:
        """Nothing was left behind since."""
        assert before.tasks > 0
        assert abs(self.tasks - before.tasks) <= MOMENTARY
        assert self.files <= before.files + POOLED
        kinds = self.ours.keys() | before.ours.keys()
        more = {kind: self.ours.get(kind, 0) - before.ours.get(kind, 0) for kind in kinds}
        assert {kind: count for kind, count in more.items() if abs(count) > 10} == {}
        assert abs(self.objects - before.objects) < OBJECTS


@pytest.fixture(scope="module")
def counted(shared_cluster: Cluster) -> Iterator[tuple[Part, str, str]]:
    """One more node, which says what it holds; its URL, and where its metrics are."""
    port, metrics = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    own = {"RELAY_PORT": str(port), "RELAY_METRICS_PORT": str(metrics)}
    own |= {"RELAY_PUBLIC_URL": url, "RELAY_ALLOWED_ORIGINS": url}
    part = shared_cluster.nodes[0].another("counted", ["tests.support.counted_node"], own)
    try:
        shared_cluster.wait_ready(url)
        yield part, url, f"http://127.0.0.1:{metrics}"
    finally:
        part.stop()


@pytest.fixture
def watched(counted: tuple[Part, str, str], shared_cluster: Cluster) -> Metrics:
    """Its counters from here on."""
    part, url, metrics = counted
    shown = Cluster(shared_cluster.valkey, "", shared_cluster.folder)
    shown.urls, shown.nodes, shown.metrics = [url], [part], {url: metrics}
    return Metrics(shown, url)


@pytest.fixture
def here(crowd: Team, counted: tuple[Part, str, str]) -> Iterator[Neighbours]:
    """An honest agent and browser on that node."""
    with Neighbours.living(BareMachine(crowd, "counted"), counted[1]) as found:
        yield found


def test_thousands_of_connections_of_every_kind_leave_nothing_behind(
    crowd: Team, counted: tuple[Part, str, str], watched: Metrics, here: Neighbours
) -> None:
    node, url, _ = counted
    liar = BareMachine(crowd, "liar")
    mass = Mass(url, liar.token, crowd.owner.token)
    asyncio.run(mass.comes(WARMING))
    here.prints()
    here.hears()
    before, resident = Holding(node), watched.resident_bytes()
    mass.ends.clear()
    for _ in range(10):
        asyncio.run(mass.comes(CONNECTS // 10))
        here.prints()
        here.hears()
    after = Holding(node)
    growth = watched.resident_bytes() - resident
    print(f"\n{CONNECTS} connections: {growth / limits.KIB:+.0f} KiB, {dict(mass.ends)}")
    after.is_like(before)
    assert growth < GROWTH_BYTES
    each = CONNECTS // 10  # of ten kinds
    ends = ("close 4002", "close 4006", "close 1000", "401", "400", "nothing")
    assert [mass.ends[end] for end in ends] == [2 * each, each, each, each, each, each]
    assert mass.ends["close 4005"] + mass.ends["close 1007"] == 3 * each
    assert watched.gauge("relay_browsers") == 1
    assert watched.gauge("relay_agents") == 1


def test_tens_of_thousands_of_frames_of_garbage_leave_nothing_behind(
    crowd: Team, counted: tuple[Part, str, str], watched: Metrics, here: Neighbours
) -> None:
    """Half of them are noise on hundreds of sockets, each of which is closed for the first; the others are well-formed,
    for sessions and attachments that nobody has, on a socket that stays."""
    node, url, _ = counted
    mass = Mass(url, "none", crowd.owner.token)
    machine, session = BareMachine(crowd, "garbled"), a_session()
    asyncio.run(mass.floods(20, 50))
    before, resident = Holding(node), watched.resident_bytes()
    mass.ends.clear()
    for _ in range(10):
        asyncio.run(mass.floods(GARBAGE // 2 // 50 // 10, 50))
        here.prints()
        here.hears()
    assert mass.ends == {"close 4005": GARBAGE // 2 // 50}
    with bare(url, "/ws/agent", machine.token) as agent:
        agent.say(**machine.hello(session))
        agent.hears("welcome")
        to_nobody = client_frame(FINAL | BINARY, frames.pack(output(session, 1, attachment=7), b"x"))
        to_nothing = client_frame(FINAL | BINARY, frames.pack(output(a_session(), 1), b"x"))
        for _ in range(GARBAGE // 2 // 1_000):
            agent.socket.socket.sendall(to_nobody * 900 + to_nothing * 100)
            for _ in range(100):
                assert agent.hears("error")["code"] == "not-found"
            here.prints()
            here.hears()
        agent.say(type="bye")
    watched.reaches(0, "relay_sockets_closed", role="agent", code="1011")
    after = Holding(node)
    growth = watched.resident_bytes() - resident
    print(f"\n{GARBAGE} frames: {growth / limits.KIB:+.0f} KiB")
    after.is_like(before)
    assert growth < GROWTH_BYTES
