"""A fleet that beats: N machines, some with real sockets, watched by browsers on every node.

Starts two nodes of its own unless --url names a cluster. There it writes most machines straight into the registry and
keeps them alive in Redis, because a machine that only beats costs a list as much with a socket as without; --sockets of
them are real agents. It measures the list and the resolver inside a node, where the event loop can be watched, and how
soon browsers hear that a machine said goodbye. Prints JSON; exit code 99 if a threshold is exceeded.

On somebody else's cluster (--url with RELAY_TOKEN, a workspace key) it registers --sockets machines, ephemeral ones,
and measures only what is seen from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from loadtests.agents import Agents
from loadtests.inside import first_lists, inside
from loadtests.numbers import summary
from loadtests.seeding import Seeded, invent, kept_alive, write_rows
from loadtests.servers import Servers, own_servers
from loadtests.watching import browsers
from relay.client.api import api
from relay.rules.tokens import Secrets, sign_machine

EXCEEDED = 99
RESOLVED = 200  # names that are resolved, one after the other
GOODBYES = 5
# Milliseconds of the node's own work, in the median, because what is measured shares its processors with the load; the
# time on the wall is that and whatever Redis and the neighbours take. A first list is judged by how long it holds the
# loop and not by its work, of which it has the most: it reads all rows and all presence, and writes every machine.
THRESHOLDS = (
    ("firstList", "loopHoldMs", 5.0),
    ("list", "workedMs", 100.0),
    ("list", "loopHoldMs", 5.0),
    ("listWithTimes", "workedMs", 100.0),
    ("listWithTimes", "loopHoldMs", 5.0),
    ("costliestOfMinute", "workedMs", 100.0),
    ("costliestOfMinute", "loopHoldMs", 5.0),
    ("listAfterSilence", "loopHoldMs", 5.0),
    ("unchangedList", "workedMs", 30.0),
    ("unchangedList", "loopHoldMs", 5.0),
    ("resolveInRules", "workedMs", 2.0),
    ("resolve", "workedMs", 30.0),  # the whole call: who may see what, its presence, the answer
)

Fleet = list[tuple[Seeded, str]]  # machines with sockets, and their tokens


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The scenario's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests picker", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", type=int, default=10_000, help="machines in all, on a cluster of its own (10000)")
    parser.add_argument("--sockets", type=int, default=300, help="machines that are real agents (300)")
    parser.add_argument("--browsers", type=int, default=20, help="browsers that watch (20)")
    parser.add_argument("--nodes", type=int, default=2, help="nodes of its own cluster (2)")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the fleet beats (15)")
    parser.add_argument("--url", help="nodes of a cluster that runs already, comma separated; token in RELAY_TOKEN")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--json", type=Path, help="also write the numbers into this file")
    return parser.parse_args(given)


async def run(options: argparse.Namespace) -> int:
    """Run the scenario and print its numbers."""
    random = Random(options.seed)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(_servers(options))
        found: dict[str, Any] = {"scenario": "picker", "seed": options.seed, "nodes": len(servers.urls)}
        if servers.ours:
            fleet = invent(options.machines, random)
            await write_rows(servers.database_url, servers.workspace, fleet)
            seated, silent = fleet[: options.sockets], fleet[options.sockets :]
            change = await stack.enter_async_context(
                kept_alive(servers.redis_url, servers.database_url, servers.workspace, silent)
            )
            first = await first_lists(servers)
            async with inside(servers) as node:
                names = [machine.name for machine in random.sample(fleet, min(RESOLVED, len(fleet)))]
                found |= {
                    "machines": len(fleet),
                    "atTheNode": {"firstList": first, **await node.measure(names, change)},
                }
            secrets = Secrets.parse(servers.secret)
            seats = [(m, sign_machine(secrets, servers.workspace, m.id, m.token_version)) for m in seated]
        else:
            seats = await _register(servers, invent(options.sockets, random))
        found |= await _watch(servers, seats, options, random)
    found["exceeded"] = _exceeded(found)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return EXCEEDED if found["exceeded"] else 0


async def _watch(servers: Servers, seats: Fleet, options: argparse.Namespace, random: Random) -> dict[str, Any]:
    """Connect agents and browsers, let them be for a while, and let some agents leave."""
    agents = Agents(servers.urls, random)
    async with AsyncExitStack() as stack:
        living = [asyncio.create_task(agents.live(machine, token)) for machine, token in seats]
        stack.callback(lambda: [task.cancel() for task in living])
        await agents.seated(len(seats))
        watching = await stack.enter_async_context(
            browsers(servers.urls, servers.token, servers.workspace, options.browsers, random)
        )
        expected = options.machines if servers.ours else len(seats)
        complete = await watching.all_show(expected)
        await asyncio.sleep(options.seconds)
        lists = await _list_from_outside(servers)
        heard: list[float] = []
        leaving = [machine for machine, _ in seats[:GOODBYES]]
        for machine in leaving:
            heard += await watching.hear_goodbye(agents, machine)
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
    counts = agents.counts
    return {
        "sockets": {
            "asked": len(seats),
            "welcomed": counts.welcomed,
            "beats": counts.beats,
            "refused": dict(counts.refused),
            "closed": {str(code): number for code, number in counts.closed.items()},
            "welcomeMs": summary(counts.welcome_ms),
        },
        "browsers": {
            "asked": options.browsers,
            "complete": complete,
            "goodbyes": len(leaving) * options.browsers,
            "goodbyeHeardMs": summary(heard),
        },
        "fromOutside": {"listMs": summary(lists)},
    }


async def _list_from_outside(servers: Servers) -> list[float]:
    loop = asyncio.get_running_loop()
    took = []
    async with api(servers.urls, servers.token) as caller:
        for _ in range(5):
            began = loop.time()
            await caller.get("/api/machines", workspace=servers.workspace, limit=10_000)
            took.append((loop.time() - began) * 1000)
    return took


async def _register(servers: Servers, fleet: list[Seeded]) -> Fleet:
    seats = []
    async with api(servers.urls, servers.token) as caller:
        for machine in fleet:
            answer = await caller.register(
                name=machine.name,
                hostname=machine.hostname,
                version="1.0.0",
                instanceId=machine.instance,
                ephemeral=True,
            )
            seats.append((machine._replace(id=answer["machine"]["id"]), str(answer["machineToken"])))
    return seats


def _exceeded(found: dict[str, Any]) -> list[str]:
    """Every threshold that was exceeded, and every peer that did not get what it was promised, as a sentence."""
    at_the_node = found.get("atTheNode", {})
    lines = [
        f"{call} {cost}: {at_the_node[call][cost]['p50']} ms, at most {most} ms"
        for call, cost, most in THRESHOLDS
        if at_the_node and at_the_node[call][cost]["p50"] > most
    ]
    sockets, watching = found["sockets"], found["browsers"]
    if sockets["welcomed"] < sockets["asked"]:
        lines.append(f"{sockets['asked'] - sockets['welcomed']} agents were not welcomed")
    if watching["complete"] < watching["asked"]:
        lines.append(f"{watching['asked'] - watching['complete']} browsers never saw the whole fleet")
    if watching["goodbyeHeardMs"]["count"] < watching["goodbyes"]:
        lines.append("not every browser heard every goodbye")
    return lines


@asynccontextmanager
async def _servers(options: argparse.Namespace) -> AsyncIterator[Servers]:
    if not options.url:
        async with own_servers(options.nodes) as servers:
            yield servers
        return
    token = os.environ.get("RELAY_TOKEN", "")
    if not token:
        sys.exit("relay: RELAY_TOKEN is not set")
    urls = options.url.split(",")
    async with api(urls, token) as caller:
        workspaces = (await caller.get("/api/me"))["workspaces"]
    yield Servers(urls, token, workspaces[0]["id"])
