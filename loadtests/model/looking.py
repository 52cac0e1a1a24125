"""Measures what those cost nodes who look: people who attach to sessions and follow teams, and Prometheus."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median

from loadtests.bench import usage
from loadtests.bench.beats import BEAT
from loadtests.bench.relaying import Relay
from loadtests.bench.storm import Storm
from relay.client.api import api
from relay.client.connection import Connection, connected
from relay.client.subscription import follow
from relay.rules.limits import SUBSCRIPTIONS_PER_BROWSER
from relay.rules.timing import FLUSH_SECONDS, LAST_SEEN_BATCH_SECONDS

TRIES = 3  # of attaches; the middle counts
FEW = SUBSCRIPTIONS_PER_BROWSER - 1  # teams that nobody is in
SEATED_AGENTS, SEATED_BY = 12, 4  # and as many browsers for each
SCRAPES = 20
SCRAPE_SECONDS = 10.0
MICROSECONDS = 1e6

Used = Mapping[str, float]


async def looked_at(relay: Relay, storm: Storm, machines: int) -> dict[str, tuple[float, str, str]]:
    """By name of the cost: what it is, in which unit, of what; on a node that so many machines of one team are at."""
    pids = {name: relay.servers.pids[name] for name in ("node-1", "engine")}
    empty = await _teams(relay)
    nobody = _held(storm, pids, machines)
    async with connected(relay.servers.urls, relay.servers.token) as browser:
        await _followed(browser, empty)
        few = _held(storm, pids, machines)
        await _followed(browser, [relay.servers.workspace])
        all_ = _held(storm, pids, machines)
    storm.hold(1.0)

    def team(name: str) -> float:
        return max(0.0, few[name] - nobody[name]) / FEW * MICROSECONDS

    def machine(name: str) -> float:
        return max(0.0, (all_[name] - few[name]) * MICROSECONDS - team(name)) / machines

    scraped = await _scraped(relay, pids["node-1"]) * MICROSECONDS
    return {
        "follow": (team("node-1"), "µs a second", "of a node, for a team of nobody that somebody there follows"),
        "follow-machine": (machine("node-1"), "µs a second", "of a node, for each machine of a team so followed"),
        "follow-machine-redis": (machine("engine"), "µs a second", "of Redis, for the same"),
        "scrape": (scraped, "µs", "of a node whose metrics are read"),
    }


async def seated(relay: Relay) -> float:
    """µs of both nodes for an attachment from one to the other, the coming of its browser and of a quarter of its agent
    included; their team is known at both, as it is where people follow it."""
    pids = [pid for name, pid in relay.servers.pids.items() if name.startswith("node-")]
    tries = []
    async with AsyncExitStack() as stack:
        for url in relay.servers.urls:
            there = await stack.enter_async_context(connected([url], relay.servers.token))
            await _followed(there, [relay.servers.workspace])
        for _ in range(TRIES):
            before = usage.cpu_seconds(pids)
            topics = await relay.topics(SEATED_AGENTS, SEATED_BY, 2)
            tries.append((usage.cpu_seconds(pids) - before) / SEATED_AGENTS / SEATED_BY * MICROSECONDS)
            for topic in topics:
                for one in (topic.publisher, *topic.receivers):
                    one.close()
    return median(tries)


def _held(storm: Storm, pids: Mapping[str, int], machines: int) -> Used:
    """What each used in a second, over as long as it takes until everything is read again; after everybody has beaten,
    for whoever fell silent meanwhile would be told of."""
    for one in storm.welcomed[:machines]:  # agents came first
        one.send(BEAT)
    storm.hold(FLUSH_SECONDS + 1.0)
    before = {name: usage.cpu_seconds([pid]) for name, pid in pids.items()}
    storm.hold(LAST_SEEN_BATCH_SECONDS)
    return {name: (usage.cpu_seconds([pid]) - before[name]) / LAST_SEEN_BATCH_SECONDS for name, pid in pids.items()}


async def _teams(relay: Relay) -> list[str]:
    async with api(relay.servers.urls, relay.servers.token) as caller:
        made = [await caller.request("POST", "/api/workspaces", body={"name": f"empty-{n}"}) for n in range(FEW)]
    return [str(one["id"]) for one in made]


async def _followed(browser: Connection, teams: Sequence[str]) -> None:
    async with asyncio.timeout(SCRAPE_SECONDS):
        for team in teams:
            await follow(browser, team).until(lambda _: True)


async def _scraped(relay: Relay, node: int) -> float:
    """Seconds of the node for each time that its metrics are read."""
    url = relay.servers.metrics["node-1"]
    before = usage.cpu_seconds([node])
    for _ in range(SCRAPES):
        await asyncio.to_thread(_read, url)
    return (usage.cpu_seconds([node]) - before) / SCRAPES


def _read(url: str) -> None:
    with urllib.request.urlopen(url, timeout=SCRAPE_SECONDS) as answer:
        answer.read()
