"""Does faults to a cluster, and mends them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

from redis import Redis

from loadtests.chaos.plan import Deed
from tests.faults.cluster import FaultCluster
from tests.faults.proxy import Proxy

AGENTS, BROWSERS = b"/ws/agent", b"/ws/browser"
READY_SECONDS = 45.0  # after everything is mended: a node starts, and a bus that was silent begins anew
SLOWEST_SECONDS = 0.3  # of a slow network, each way
CUT_BYTES = 60_000  # of each connection that is cut in the middle, and up to twice as many
FULL = "1mb"  # less than an empty server uses, so that it takes nothing more

Mend = Callable[[], Awaitable[None]]


async def begin(cluster: FaultCluster, deed: Deed, seconds: float) -> Mend:
    """Do it; what is to be awaited, after so long, to mend it."""
    name = deed.kind.name
    if name.startswith(("network", "machines", "browsers")):
        return _network(cluster.front(cluster.urls[deed.node]), name, deed.amount)
    if name in _PATHS:
        proxy = cluster.redis(cluster.urls[deed.node])
        _PATHS[name](proxy, deed.amount)
        return _healing(proxy)
    if name.startswith("redis"):
        return await asyncio.to_thread(_redis, cluster, name, seconds)
    if name == "registry-locked":
        return _locked(cluster)
    return await asyncio.to_thread(_process, cluster, deed)


_PATHS: dict[str, Callable[[Proxy, float], object]] = {
    "bus-deaf": lambda proxy, _: proxy.deafen(),
    "redis-cut-off": lambda proxy, _: proxy.reset(),
    "redis-half-open": lambda proxy, _: proxy.half_open(),
    "redis-held": lambda proxy, _: proxy.stall(),
    "redis-slow": lambda proxy, amount: proxy.delay(amount * SLOWEST_SECONDS),
}


async def ready(cluster: FaultCluster) -> None:
    """Wait until every node takes newcomers; raises `AssertionError` for one that does not in time."""
    for url in cluster.urls:
        await asyncio.to_thread(cluster.wait_ready, url, READY_SECONDS)


def _healing(proxy: Proxy) -> Mend:
    async def mend() -> None:
        proxy.heal()

    return mend


def _network(front: Proxy, name: str, amount: float) -> Mend:
    match name:
        case "network-reset":
            front.reset()
        case "machines-cut-off":
            front.reset(only=AGENTS)
        case "network-half-open":
            front.half_open()
        case "machines-half-open":
            front.half_open(only=AGENTS)
        case "browsers-half-open":
            front.half_open(only=BROWSERS)
        case "network-held":
            front.stall()
        case "network-slow":
            front.delay(amount * SLOWEST_SECONDS)
        case "network-cuts":
            front.cut_after(int((1 + amount) * CUT_BYTES), way="down")
    return _healing(front)


def _process(cluster: FaultCluster, deed: Deed) -> Mend:
    places = {deed.node, (deed.node + 1) % len(cluster.urls)} if deed.kind.name == "kill-two" else {deed.node}
    parts = [cluster.nodes[place] for place in places]
    match deed.kind.name:
        case "sweeper-killed":
            parts = [cluster.sweepers[deed.node % len(cluster.sweepers)]]
            parts[0].kill()
        case "drain":
            assert parts[0].stop() == 0, f"{parts[0].name} did not end well"
        case "freeze":
            parts[0].freeze()
        case _:
            for part in parts:
                part.kill()

    async def mend() -> None:
        for part in parts:
            if part.process.poll() is None:
                part.thaw()
            else:
                part.start_again()

    return mend


def _redis(cluster: FaultCluster, name: str, seconds: float) -> Mend:
    valkey = cluster.valkey
    dump = valkey.folder / "dump.rdb"
    with Redis(unix_socket_path=str(valkey.socket)) as redis:
        match name:
            case "redis-flushed":
                redis.flushall()
            case "redis-paused":
                redis.client_pause(int(seconds * 1_000))  # no command could end it sooner
            case "redis-full":
                redis.config_set("maxmemory", FULL)
            case "redis-frozen":
                valkey.freeze()
            case "redis-restarted":
                redis.save()
                valkey.stop()
            case "redis-restarted-empty":
                dump.unlink(missing_ok=True)
                valkey.stop()

    def mend() -> None:
        match name:
            case "redis-frozen":
                valkey.thaw()
            case "redis-restarted" | "redis-restarted-empty":
                valkey.start()
            case "redis-full":
                with Redis(unix_socket_path=str(valkey.socket)) as redis:
                    redis.config_set("maxmemory", "0")

    async def mend_beside() -> None:
        await asyncio.to_thread(mend)

    return mend_beside


def _locked(cluster: FaultCluster) -> Mend:
    path = cluster.database_url.partition(":///")[2]
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    lock.execute("PRAGMA busy_timeout = 5000")
    lock.execute("BEGIN IMMEDIATE")

    async def mend() -> None:
        lock.execute("ROLLBACK")
        lock.close()

    return mend
