"""Measures what heartbeats cost: a node that takes and flushes them, and the Redis that stores them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from random import Random

import uvloop

from loadtests.bench import guests, population, usage, wire
from loadtests.bench.engine import Engine, running_engine
from loadtests.bench.plan import Plan
from loadtests.bench.relaying import Relay
from loadtests.bench.rows import Row, Void
from loadtests.bench.storm import Storm
from relay.rules.limits import KIB
from relay.rules.presence import OFFLINE_MS
from relay.rules.timing import BEAT_JITTER, BEAT_SECONDS, FLUSH_SECONDS
from relay.store import Beat, Keys, Presence, connect

MACHINES = 100_000
# Beats come up to a fifth early, so a flush has a little more than half of all machines in it.
BEATS_PER_FLUSH = int(MACHINES * FLUSH_SECONDS / (BEAT_SECONDS * (1 - BEAT_JITTER / 2)))
FLUSHES = 6  # measured per round
AGENTS = 500  # sockets that beat
BEATS_EACH = 40  # per socket and round, each in a write of its own
BEAT = wire.from_client(b'{"type":"beat"}', wire.TEXT)
PING = wire.from_client(b"done", wire.PING)
PONG = wire.from_server(b"done", wire.PONG)
ANSWER_SECONDS = 20.0  # for a node to have taken all beats of one socket
PERCENT = 100

FLUSHED = Row("beats", "beats that a node flushes to Redis", "beats per CPU-second of the node", 200_000, "more")
REDIS = Row("beats-redis", "100,000 machines that beat", "% of a Redis core", 5.0, "less")
TAKEN = Row("beats-taken", "beats that a node takes, each in a read of its own", "beats per CPU-second", None, "more")


class Beats:
    """The flush as the node does it, over the store's own code and the node's event loop; then beats over sockets."""

    name = "beats"
    rows = (FLUSHED, REDIS, TAKEN)

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. Raises `Void` when Redis did not take a beat."""
        async with running_engine(plan.cores.servers) as engine:
            # A loop and a thread of its own, whose processor time is nobody else's.
            flushing, redis_seconds = await asyncio.to_thread(_in_a_loop, engine)
        taken = await _taken(plan)
        return {
            FLUSHED.name: BEATS_PER_FLUSH / flushing,
            REDIS.name: redis_seconds / FLUSH_SECONDS * PERCENT,
            TAKEN.name: taken,
        }


def _in_a_loop(engine: Engine) -> tuple[float, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_flush(engine))


async def _flush(engine: Engine) -> tuple[float, float]:
    """Seconds of this thread, and of Redis, for one flush of all who beat since the last one."""
    redis, keys = connect(engine.url), Keys()
    try:
        shards = population.invent(keys, MACHINES, Random(3))
        await population.write(redis, keys, shards, [OFFLINE_MS])
        heard = [member for members in shards for member in members][::-1][:BEATS_PER_FLUSH]
        Random(4).shuffle(heard)  # in the order in which they connected, which is no order of shards
        presence = Presence(redis, keys)
        for measured in (False, True):
            began, before = time.thread_time(), usage.cpu_seconds([engine.pid])
            for _ in range(FLUSHES if measured else 1):
                beats = (Beat(each.workspace, each.machine, each.fence, 1_000) for each in heard)  # as nodes do
                lost, _ = await presence.beat(population.NODE, beats)
                if lost:
                    raise Void(f"{len(lost)} beats were not taken: {lost[0]}")
            took, redis_took = time.thread_time() - began, usage.cpu_seconds([engine.pid]) - before
        return took / FLUSHES, redis_took / FLUSHES
    finally:
        await redis.aclose()


async def _taken(plan: Plan) -> float:
    """Beats that a node takes from sockets per second of its time."""
    relay = Relay()
    try:
        await relay.start(1, plan.cores.servers)
        await usage.at_rest(relay.pids)
        peers = await guests.agents(relay, AGENTS)
        with Storm() as storm:
            storm.dial(peers)
            if storm.failures:
                raise Void(f"{storm.failures.total()} agents were not welcomed")
            before = usage.cpu_seconds([relay.servers.pids["node-1"]])
            for _ in range(BEATS_EACH):
                for agent in storm.welcomed:
                    agent.send(BEAT)
            for agent in storm.welcomed:
                _all_taken(agent)
            used = usage.cpu_seconds([relay.servers.pids["node-1"]]) - before
    finally:
        await relay.stop()
    return AGENTS * BEATS_EACH / used


def _all_taken(agent: socket.socket) -> None:
    """Wait until the node has answered something that was sent behind the beats."""
    agent.settimeout(ANSWER_SECONDS)
    agent.sendall(PING)
    read = b""
    while PONG not in read:
        data = agent.recv(KIB)
        if not data:
            raise Void("the node closed an agent that beat")
        wire.answer_pings(agent, data)
        read += data
