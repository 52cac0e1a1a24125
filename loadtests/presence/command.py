"""Heartbeats and sweeps of a very large fleet: who falls silent is announced once and in time, and at what cost.

Starts a Redis, a registry and two sweepers of its own. The machines have no sockets: some processes beat for them
through the code that nodes run, with the same flushes and leases. One of a hundred falls silent for good; as many do so
for more than a minute and are heard again in time. Prints JSON; exit code 99 if anybody was announced who was not
silent for 90 s, more than once, late, or not at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from loadtests.bench import host, usage
from loadtests.bench.relaying import Relay
from loadtests.numbers import summary
from loadtests.presence import fleet, rows
from loadtests.presence.hearing import Hearing, hearing
from loadtests.servers import Asked, own_servers, say
from relay.rules.presence import OFFLINE_MS
from relay.rules.timing import UNSETTLED_SECONDS

BROKEN, USAGE = 99, 64
SWEEPERS = 2
LATEST_SECONDS = 97.0  # after the last beat: 90, a sweep's pause, and a sweep of very many
CLOCK_SECONDS = 0.5  # between our reading of the clock and Redis's, on a machine whose processors are all busy
MARGIN_SECONDS = 5.0  # watched for longer: whoever would be announced twice is by then
PERCENT = 100


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The scenario's options."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests presence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", type=int, default=100_000, help="machines that beat (100000)")
    parser.add_argument("--nodes", type=int, default=3, help="processes that beat for them (3)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random here (1)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    return parser.parse_args(given)


async def run(options: argparse.Namespace) -> int:
    """Run it and print what came of it."""
    unsupported = usage.supported()
    if unsupported is not None:
        print(f"relay: {unsupported}")
        return USAGE
    about = {"scenario": "presence", "machines": options.machines, "nodes": options.nodes, "seed": options.seed}
    about |= {"versions": Relay().versions, "host": host.describe()}
    found = {**about, **await measure(options.machines, options.nodes, options.seed)}
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return BROKEN if found["broken"] else 0


async def measure(machines: int, nodes: int, seed: int) -> dict[str, Any]:
    """One run; it takes the 90 seconds that it is about, and some more."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(own_servers(1, Asked(sweepers=SWEEPERS)))
        heard = await stack.enter_async_context(hearing(servers.redis_url))
        lives = fleet.invent(machines, seed)
        await rows.write(servers.database_url, lives)
        feeders = [await _feeder(servers.redis_url, machines, seed, part, nodes) for part in range(nodes)]
        try:
            await asyncio.gather(*map(_ready, feeders))
            say("presence", f"{machines:,} machines are announced; waiting until silence proves something")
            await asyncio.sleep(UNSETTLED_SECONDS + MARGIN_SECONDS)
            heard.forget()
            for feeder in feeders:
                await _say(feeder, "go\n")
            before = {name: usage.cpu_seconds([pid]) for name, pid in servers.pids.items()}
            say("presence", "some fall silent")
            seconds = fleet.LEAVE_WITHIN_SECONDS + LATEST_SECONDS + MARGIN_SECONDS
            await asyncio.sleep(seconds)
            used = {name: usage.cpu_seconds([pid]) - before[name] for name, pid in servers.pids.items()}
            told = await rows.offline(servers.database_url)
            figures = [await _figures(feeder) for feeder in feeders]
        finally:
            for feeder in feeders:
                if feeder.returncode is None:
                    feeder.kill()
                await feeder.wait()
    found = _found(heard, figures, used, seconds)
    left = {life.member.machine for life in lives if life.leaves}
    if told != left:
        found["broken"].append(f"the registry was told of {len(told)} machines, {len(told & left)} of them rightly")
    return found


def _found(heard: Hearing, figures: list[dict[str, Any]], used: Mapping[str, float], seconds: float) -> dict[str, Any]:
    last = {machine: at for each in figures for machine, at in each.pop("leavers").items()}
    feeders = {f"feeder-{number}": each["cpuSeconds"] for number, each in enumerate(figures, 1)}
    return {
        "seconds": seconds,
        "fellSilent": len(last),
        "announcedAfterSeconds": summary([rang[0] - last[id] for id, rang in heard.rang.items() if id in last]),
        "broken": broken(heard.rang, last) + [f"{n} beats were not taken" for each in figures if (n := each["lost"])],
        "beatsPerSecond": round(sum(each["beats"] for each in figures) / seconds),
        "cpuPercent": {name: round(each / seconds * PERCENT, 2) for name, each in {**used, **feeders}.items()},
        "flushMs": [each["flushMs"] for each in figures],
    }


def broken(rang: Mapping[str, Sequence[float]], last: Mapping[str, float]) -> list[str]:
    """What was announced wrongly, in words; by machine, `rang` is when it was, `last` when it was heard last."""
    found = [f"{id} was announced and was not silent for good" for id in rang.keys() - last.keys()]
    found += [f"{id} was never announced" for id in last.keys() - rang.keys()]
    for id in rang.keys() & last.keys():
        after = rang[id][0] - last[id]
        if len(rang[id]) > 1:
            found.append(f"{id} was announced {len(rang[id])} times")
        if not OFFLINE_MS / 1_000 - CLOCK_SECONDS <= after <= LATEST_SECONDS + CLOCK_SECONDS:
            found.append(f"{id} was announced {after:.1f} s after it was heard last")
    return sorted(found)


async def _feeder(url: str, machines: int, seed: int, part: int, parts: int) -> Process:
    words = ("loadtests.presence.feeder", url, *map(str, (machines, seed, part, parts)))
    return await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdin=PIPE, stdout=PIPE, limit=2**26)


async def _ready(feeder: Process) -> None:
    assert feeder.stdout is not None
    if await feeder.stdout.readline() != b"ready\n":
        raise RuntimeError("a process that beats has ended; see above")


async def _say(feeder: Process, text: str) -> None:
    assert feeder.stdin is not None
    feeder.stdin.write(text.encode())
    await feeder.stdin.drain()


async def _figures(feeder: Process) -> dict[str, Any]:
    assert feeder.stdin is not None
    assert feeder.stdout is not None
    feeder.stdin.close()
    return dict(json.loads(await feeder.stdout.readline()))
