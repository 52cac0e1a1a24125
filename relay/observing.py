"""Lets a node be observed: shows what each of its parts counts, and builds those that sample, compare and report."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from relay.app import Node
from relay.node.drift import Drift
from relay.node.gauges import watch_cluster, watch_life, watch_peers, watch_work
from relay.node.reporting import Reporting, Self, Watched
from relay.node.samples import Samples
from relay.registry import Registry
from relay.rules import metrics
from relay.store import Memory, Pipeline
from relay.store.places import Places
from relay.store.reports import Reports
from relay.traces import LAST_SECONDS, open_traces
from relay.vitals import watch_process


class Observers(NamedTuple):
    """What runs beside a node and changes nothing of it."""

    samples: Samples
    drift: Drift
    reporting: Reporting


def observe(node: Node, registry: Registry, redis: Memory, pipeline: Pipeline) -> Observers:
    """Show everything of a node whose parts are all built; who observes it is to be run with it."""
    meters, traffic, began = node.meters, node.router.fanout.traffic, time.time()
    samples = Samples(meters, node.bus)
    drift = Drift(node.boot, node.hub, node.presence, Places(redis, node.keys))
    watch_process(meters.instruments, began)
    watch_peers(meters, node.hub, node.keepalive)
    watch_work(meters, node.hub, traffic)
    watch_cluster(meters, node.bus, node.beats, node.lanes, node.outage, node.tail)
    watch_life(meters, node.membership, node.readiness.reasons, node.beats, node.pauses)
    meters.watch(metrics.SOCKETS_ALLOWED, lambda: node.settings.sockets)
    meters.watch(metrics.COMPARED, lambda: drift.compared)
    meters.watch_all(metrics.DRIFTED, drift.readings())
    meters.tally(metrics.REDIS, shown=pipeline.seconds)
    for access, tally in registry.seconds.items():
        meters.tally(metrics.SQL, access, shown=tally)
        meters.watch(metrics.SQL_FAILED, _failed(registry, access), access)
    meters.watch(metrics.CLOCK_AHEAD, lambda: drift.clock_ahead_seconds)
    who = Self(node.boot, int(began * 1000))
    watched = Watched(node.hub, traffic, samples, node.bus, node.readiness.reasons, lambda: drift.total)
    return Observers(samples, drift, Reporting(who, watched, Reports(redis, node.keys)))


def _failed(registry: Registry, access: str) -> Callable[[], float]:
    return lambda: float(registry.failures[access])


@asynccontextmanager
async def followed(node: Node) -> AsyncIterator[None]:
    """While it is open every line of the log names the node, and requests are traced if variables ask for it. Raises
    `Misconfigured`."""
    structlog.contextvars.bind_contextvars(node=node.boot)  # tasks and connections take it over when they begin
    traces = node.hub.traces = open_traces(os.environ)
    try:
        yield
    finally:
        late = asyncio.get_running_loop().call_later(LAST_SECONDS, traces.give_up)
        await asyncio.to_thread(traces.close)  # which sends the last ones
        late.cancel()
