"""Measures what the benchmark has no row for: idle servers, who pays for frames between nodes, bytes of machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loadtests.bench import affinity, guests, host, population, usage
from loadtests.bench.beats import BEAT
from loadtests.bench.engine import running_engine
from loadtests.bench.fanout import WARM_SECONDS
from loadtests.bench.relaying import PLENTY, Relay
from loadtests.bench.storm import Storm
from loadtests.bench.traffic import Traffic
from loadtests.model.looking import looked_at, seated
from loadtests.model.points import Point
from loadtests.servers import Asked
from relay.client.api import api
from relay.store import Keys, connect

IDLE_SECONDS = 6.0
CROSSING_SECONDS = 4.0
PUBLISHERS, RECEIVERS = 50, 4
AGENTS, BROWSERS = (
    3_000,
    1_500,
)  # fewer than the benchmark's and both at one node, so that its slope is checked elsewhere
IN_REDIS = 100_000
LISTS = 10
ROUNDS = 3  # of everything, so that no cost is that of one slow moment
TRIES = 3  # of what is small; the least counts, for whatever else runs only ever adds
PUBLISH = b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nalone\r\n$256\r\n" + bytes(256) + b"\r\n"
ALONE, ALONE_SECONDS = 2_000, 0.002
SETTLE_SECONDS = 2.0
KIB, MICROSECONDS = 1024, 1e6


class Round(NamedTuple):
    """Everything measured once."""

    costs: dict[str, dict[str, Any]]
    point: Point
    speeds: list[float]  # million additions that a CPU-second was worth, before, between and after


async def measure() -> dict[str, Any]:
    """Everything, as `costs.json`; raises what the benchmark's parts raise."""
    cores = affinity.choose()
    affinity.pin(cores.generator)
    guests.allow_open_files()
    about = host.describe()
    rounds = [await _round(cores.servers) for _ in range(ROUNDS)]
    about["millionAdditionsPerCpuSecond"] = [round(mean(one.speeds), 1) for one in rounds]
    point = rounds[0].point._replace(measured=median(one.point.measured for one in rounds))
    return {"host": about, "versions": Relay().versions, "costs": merged(rounds), "points": [point._asdict()]}


def merged(rounds: Sequence[Round]) -> dict[str, dict[str, Any]]:
    """The middle of all rounds, each told as if a CPU-second had been worth as much in all of them."""
    worth = mean(mean(one.speeds) for one in rounds)

    def value(one: Round, name: str) -> float:
        cost = one.costs[name]
        return float(cost["value"]) * (mean(one.speeds) / worth if cost["unit"].startswith("µs") else 1)

    return {
        name: _cost(median(value(one, name) for one in rounds), cost["unit"], cost["what"])
        for name, cost in rounds[0].costs.items()
    }


async def _round(core: int | None) -> Round:
    speeds = [host.speed()]
    costs = dict(await _two_nodes(core))
    speeds.append(host.speed())
    one, point = await _one_node(core)
    costs |= one
    speeds.append(host.speed())
    held, woken = await _in_redis(core)
    costs["machine-redis-bytes"] = _cost(held, "bytes", "Redis's used_memory by machine")
    costs["publish-alone"] = _cost(woken, "µs", "of Redis, for a publish that finds it asleep and goes to one listener")
    speeds.append(host.speed())
    return Round(costs, point, speeds)


async def _two_nodes(core: int | None) -> dict[str, dict[str, Any]]:
    """Two nodes at rest, then frames that all go from one to the other."""
    relay = Relay()
    try:
        await relay.start(2, core)
        await usage.at_rest(relay.pids)
        pids = relay.servers.pids
        started = _used(pids)
        tries = [await _idle(pids) for _ in range(TRIES)]
        idle = {name: min(one[name] for one in tries) for name in pids}
        held = {name: usage.resident_kib(pid) * KIB for name, pid in pids.items()}
        came = await seated(relay)
        await usage.at_rest(relay.pids)
        split = _crossed(await relay.topics(PUBLISHERS, RECEIVERS, 2), pids)
    finally:
        await relay.stop()
    return {
        "node-idle": _cost((idle["node-1"] + idle["node-2"]) / 2, "µs a second", "a node of two that nobody uses"),
        "redis-idle": _cost(idle["engine"], "µs a second", "Redis under them, a sweeper included"),
        "node-bytes": _cost(max(held["node-1"], held["node-2"]), "bytes", "of such a node, unshared"),
        "redis-bytes": _cost(held["engine"], "bytes", "of such a Redis"),
        "start": _cost(min(started["node-1"], started["node-2"]) * MICROSECONDS, "µs", "of a node until it is at rest"),
        "seated": _cost(came, "µs", "of both nodes by attachment, from all sockets on: four browsers for each agent"),
        **split,
    }


async def _idle(pids: Mapping[str, int]) -> dict[str, float]:
    before = _used(pids)
    await asyncio.sleep(IDLE_SECONDS)
    return {name: (used - before[name]) / IDLE_SECONDS * MICROSECONDS for name, used in _used(pids).items()}


def _crossed(topics: Any, pids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """How the time for frames between two nodes is shared out, with what each does for frames that stay at home too."""
    traffic = Traffic(topics, in_flight=1)
    try:
        traffic.drive(WARM_SECONDS)
        before, delivered = _used(pids), traffic.delivered
        traffic.drive(CROSSING_SECONDS)
        used, delivered = _used(pids), traffic.delivered - delivered
        wrong = traffic.drain()
    finally:
        traffic.close()
    assert wrong is None, wrong
    frames = delivered / RECEIVERS
    names = {"sender": "node-1", "redis": "engine", "receiver": "node-2"}
    return {
        f"crossing-{part}": _cost(
            (used[name] - before[name]) / frames * MICROSECONDS, "µs a frame", f"of {name}, 50 × 4, all of it"
        )
        for part, name in names.items()
    }


async def _one_node(core: int | None) -> tuple[dict[str, dict[str, Any]], Point]:
    """Machines and people on one node; what they hold there and in the kernel, and what it takes to look at them."""
    relay = Relay(Asked(told={"RELAY_HANDSHAKES": PLENTY}, metrics=True))
    try:
        await relay.start(1, core)
        await usage.at_rest(relay.pids)
        node = relay.servers.pids["node-1"]
        coming = [*await guests.agents(relay, AGENTS), *guests.browsers(relay, BROWSERS)]
        slab = _slab_bytes()
        with Storm() as storm:
            storm.dial(coming)
            storm.hold(SETTLE_SECONDS)
            assert not storm.failures, storm.failures
            kernel = (_slab_bytes() - slab) / (2 * len(coming))
            held = usage.resident_kib(node) * KIB
            tries = []
            for _ in range(TRIES):
                storm.hold(SETTLE_SECONDS)  # whoever answers no pings is hung up on
                lists = await _listed(relay, node)
                storm.hold(SETTLE_SECONDS)
                tries.append((lists, _woken(storm, node)))
            listed, woken = (min(found) for found in zip(*tries, strict=True))
            looked = await looked_at(relay, storm, AGENTS)
    finally:
        await relay.stop()
    point = Point(
        "node-memory",
        f"{AGENTS:,} agents and {BROWSERS:,} browsers at one node: its memory",
        {"agents": AGENTS, "browsers": BROWSERS},
        "bytes",
        float(held),
    )
    costs = {
        "socket-bytes": _cost(kernel, "bytes", "of the kernel's own memory by socket, half of what two ends took"),
        "beat-alone": _cost(woken, "µs", "of a beat that finds the loop asleep, the node's own ticks included"),
        "listed": _cost(listed, "µs", "by machine in a list over REST of an unchanged fleet"),
        **{name: _cost(*one) for name, one in looked.items()},
    }
    return costs, point


def _woken(storm: Storm, node: int) -> float:
    """Let machines beat one after the other, so far apart that each wakes the loop; µs for each."""
    before = usage.cpu_seconds([node])
    for number in range(ALONE):
        storm.welcomed[number].send(BEAT)  # agents came first
        time.sleep(ALONE_SECONDS)
    return (usage.cpu_seconds([node]) - before) / ALONE * MICROSECONDS


async def _listed(relay: Relay, node: int) -> float:
    """Ask for lists; µs for each machine in them."""
    before, listed = usage.cpu_seconds([node]), 0
    async with api(relay.servers.urls, relay.servers.token) as caller:
        for _ in range(LISTS):
            answer = await caller.get("/api/machines", workspace=relay.servers.workspace, limit=10_000)
            listed += len(answer["machines"])
    return (usage.cpu_seconds([node]) - before) / listed * MICROSECONDS


async def _in_redis(core: int | None) -> tuple[float, float]:
    """Bytes of a machine, and µs of a publish that comes alone."""
    async with running_engine(core) as engine:
        redis, keys = connect(engine.url), Keys()
        listener = connect(engine.url).pubsub()
        try:
            before = (await redis.info("memory"))["used_memory"]
            await population.write(redis, keys, population.invent(keys, IN_REDIS, Random(3)), [90_000])
            held = float((await redis.info("memory"))["used_memory"] - before) / IN_REDIS
            await listener.subscribe("alone")
            _, line = await asyncio.open_unix_connection(urlsplit(engine.url).path)
            line.write(b"CLIENT REPLY OFF\r\n")
            woken = min([await _published(line, engine.pid) for _ in range(TRIES)])
            line.close()
            return held, woken
        finally:
            await listener.aclose()  # type: ignore[no-untyped-call]
            await redis.aclose()


async def _published(line: asyncio.StreamWriter, engine: int) -> float:
    """The same of Redis and what is published on a connection that wants no answers, as a node's."""
    before = usage.cpu_seconds([engine])
    for _ in range(ALONE):
        line.write(PUBLISH)
        await asyncio.sleep(ALONE_SECONDS)
    return (usage.cpu_seconds([engine]) - before) / ALONE * MICROSECONDS


def _used(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: usage.cpu_seconds([pid]) for name, pid in pids.items()}


def _slab_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("/proc/meminfo has no line about Slab")


def _cost(value: float, unit: str, what: str) -> dict[str, Any]:
    return {"value": round(value, 3), "unit": unit, "what": what}
