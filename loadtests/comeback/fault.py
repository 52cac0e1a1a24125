"""Takes one node from a cluster that holds a fleet, and measures how the fleet comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import func, select

from loadtests.bench import guests
from loadtests.comeback.costs import costs
from loadtests.comeback.crowd import Crowd, playing
from loadtests.comeback.findings import broken, of_agents, spread
from loadtests.comeback.watch import RECORDS_SECONDS, Watch, boot_of, watching
from loadtests.engine.machine import Seat
from loadtests.seeding import Seeded, invent, write_rows
from loadtests.servers import Asked, Servers, own_servers, say
from relay.registry.database import Database
from relay.registry.tables import machines as rows
from relay.rules.tokens import Secrets, sign_machine

SIGNALS = {"kill": signal.SIGKILL, "drain": signal.SIGTERM}
# A killed node of `relay dev` comes back within a second. Here it has to stay away.
ENDS = frozenset({0, *(-number for number in SIGNALS.values())})
SEAT_SECONDS = 300.0  # for the whole fleet's first hellos, on however busy a host
RETURN_SECONDS = 90.0  # after that whoever is missing is announced offline, and the run is lost
SWEEPERS = 2


class Storm(NamedTuple):
    """What is asked of a run."""

    machines: int
    nodes: int
    how: str  # of SIGNALS
    seconds: float  # that everything is watched after the fault, at least
    settle_seconds: float  # between the last welcome and the fault
    told: dict[str, str]  # further variables of the nodes
    processes: int
    seed: int


@dataclass
class Return:
    """How the machines of the lost node came back."""

    machines: set[str]
    recorded: list[float] = field(default_factory=list)  # for each, seconds after which a survivor's record names it
    missing: set[str] = field(default_factory=set)


async def storm(asked: Storm) -> dict[str, Any]:
    """Run it; what was found, with every broken promise in words."""
    guests.allow_open_files()
    random = Random(asked.seed)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(own_servers(asked.nodes, Asked(asked.told, (), SWEEPERS, ENDS)))
        fleet = invent(asked.machines, random)
        await write_rows(servers.database_url, servers.workspace, fleet)
        crowd = await stack.enter_async_context(
            playing(servers.urls, _seats(servers, fleet), asked.processes, asked.seed)
        )
        began = time.monotonic()
        if not await crowd.all_connected(asked.machines, SEAT_SECONDS):
            raise TimeoutError(f"only {await crowd.connected()} of {asked.machines} agents were welcomed at first")
        seated = time.monotonic() - began
        say("comeback", f"{asked.machines} agents are welcomed after {seated:.1f} s")
        watch = await stack.enter_async_context(watching(servers, servers.urls[:-1], random))
        await watch.complete(asked.machines)
        await asyncio.sleep(asked.settle_seconds)
        found = await _lose(asked, servers, crowd, watch, [machine.id for machine in fleet])
        return {"seatedSeconds": round(seated, 1), **found}


def _seats(servers: Servers, fleet: Sequence[Seeded]) -> list[Seat]:
    secrets = Secrets.parse(servers.secret)
    return [
        Seat(m.id, m.name, m.hostname, m.instance, sign_machine(secrets, servers.workspace, m.id, m.token_version))
        for m in fleet
    ]


async def _lose(asked: Storm, servers: Servers, crowd: Crowd, watch: Watch, fleet: Sequence[str]) -> dict[str, Any]:
    victim, url = f"node-{asked.nodes}", servers.urls[-1]
    boot = await boot_of(servers, url)
    held = await watch.holders(fleet)
    back = Return({machine for machine, node in held.items() if node == boot})
    watched = [f"node-{number}" for number in range(1, asked.nodes)] + ["engine", "sweeper", "sweeper-2"]
    processes = {name: [servers.pids[name]] for name in watched} | {"generators": crowd.pids}
    watchers = [asyncio.create_task(watch.list_often())]
    watchers += [asyncio.create_task(watch.probe_often(node)) for node in servers.urls[:-1]]
    watch.begin()
    await crowd.mark()
    before = await costs(processes, servers.redis_url)
    load = os.getloadavg()[0]
    began = time.monotonic()
    os.kill(servers.pids[victim], SIGNALS[asked.how])
    await _come_back(watch, back, boot, began)
    returned = time.monotonic() - began
    await crowd.all_connected(asked.machines, max(1.0, RETURN_SECONDS - returned))
    after = await costs(processes, servers.redis_url)
    say("comeback", f"{len(back.recorded)} of {len(back.machines)} machines are elsewhere after {returned:.1f} s")
    await asyncio.sleep(max(0.0, began + asked.seconds - time.monotonic()))
    journal, holders = await crowd.journal(), await watch.holders(fleet)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    found = {
        "loadAverage": {"before": round(load, 1), "after": round(os.getloadavg()[0], 1)},
        "lostNode": {"machines": len(back.machines), "share": round(len(back.machines) / asked.machines, 3)},
        "agents": of_agents(journal, back.machines, began),
        "recordedElsewhere": spread(back.recorded, len(back.machines)),
        "usedWhileReturning": {"seconds": round(returned, 1), **before.until(after)},
        "watched": {"seconds": round(time.monotonic() - began, 1), **watch.as_data()},
        "announcedOffline": await _announced(servers),
        "atTheEnd": {
            "connectedAgents": await crowd.connected(),
            "heldBySurvivors": sum(node != boot for node in holders.values()),
        },
    }
    return found | {"broken": broken(found, asked.machines)}


async def _come_back(watch: Watch, back: Return, boot: str, began: float) -> None:
    """Look at the records of the lost node's machines until all are elsewhere, or until it is too late."""
    back.missing = set(back.machines)
    while back.missing and time.monotonic() - began < RETURN_SECONDS:
        await asyncio.sleep(RECORDS_SECONDS)
        held = await watch.holders(sorted(back.missing))
        here = {machine for machine, node in held.items() if node != boot}
        back.recorded += [time.monotonic() - began] * len(here)
        back.missing -= here


async def _announced(servers: Servers) -> int:
    """Machines that a sweeper wrote down as offline; it does that with every announcement."""
    database = Database(servers.database_url)
    try:
        async with database.read() as connection:
            return int(await connection.scalar(select(func.count()).where(rows.c.offline_reason.is_not(None))) or 0)
    finally:
        await database.close()
