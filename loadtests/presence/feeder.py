"""Beats for a part of the fleet, as one node would: `python -m loadtests.presence.feeder URL MACHINES SEED PART PARTS`.

Says `ready` when all are announced, begins when it is told `go`, and ends with its figures when its input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from random import Random
from uuid import uuid4

import uvloop

from loadtests.numbers import summary
from loadtests.presence import fleet
from loadtests.presence.fleet import Life
from relay.rules.presence import Info
from relay.rules.timing import BEAT_SECONDS, FLUSH_SECONDS, LEASE_RENEW_SECONDS
from relay.store import Beat, Keys, Lease, Leases, Memory, Presence, Reannouncement, open_memory
from relay.store.heartbeats import UNCHECKED

MS = 1_000
INFO = Info(pid=1, version="1.0.0", hostname="build-00001.example.internal")


class Feeder:
    """One node's machines, without their sockets: who was heard when, and the flush of all of them."""

    def __init__(self, memory: Memory, lives: list[Life], seed: int) -> None:
        self.boot = str(uuid4())
        self._presence = Presence(memory, Keys())
        self._leases = Leases(memory, Keys())
        self._random = Random(seed)
        self._lives = lives
        now = time.monotonic()
        self._due = [now + self._random.uniform(0.0, BEAT_SECONDS) for _ in lives]
        self._heard = [now] * len(lives)
        self._began = fleet.NEVER
        self.beats = self.lost = 0
        self.flush_ms: list[float] = []

    async def announce(self) -> None:
        """Tell Redis of every machine, in shards that are flushed to."""
        await self._presence.beat(self.boot, ())
        heard = [Reannouncement(*life.member, 0, INFO) for life in self._lives]
        self.lost += len(await self._presence.reannounce(self.boot, UNCHECKED, heard))

    def go(self) -> None:
        """From now on some fall silent; what was measured before does not count."""
        self._began = time.monotonic()
        self.beats, self.flush_ms = 0, []

    async def flush(self) -> None:
        """One flush of who was heard since the last one."""
        began = time.monotonic()
        found = await self._presence.beat(self.boot, self._beats(began))
        self.lost += len(found.lost)
        self.flush_ms.append((time.monotonic() - began) * MS)

    async def run(self) -> None:
        """Flush and renew the lease until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            while True:
                began = time.monotonic()
                await self.flush()
                await asyncio.sleep(max(0.0, FLUSH_SECONDS - (time.monotonic() - began)))

    def leavers(self) -> dict[str, float]:
        """By machine that left: when it was heard last, in Unix seconds."""
        offset = time.time() - time.monotonic()
        return {life.member.machine: self._heard[at] + offset for at, life in enumerate(self._lives) if life.leaves}

    def _beats(self, now: float) -> list[Beat]:
        beats = []
        for at, due in enumerate(self._due):
            if due > now:
                continue
            workspace, machine, fence = self._lives[at].member
            silent = self._lives[at].silent_from <= due - self._began < self._lives[at].silent_until
            if not silent:
                self._heard[at] = due
                beats.append(Beat(workspace, machine, fence, int((now - due) * MS)))
            self._due[at] = max(fleet.next_beat(self._random, due), now)
        self.beats += len(beats)
        return beats

    async def _renew(self) -> None:
        started = int(time.time() * MS)
        while True:
            await self._leases.renew(Lease(self.boot, f"http://{self.boot}", started, agents=len(self._lives)))
            await asyncio.sleep(LEASE_RENEW_SECONDS)


async def feed(url: str, machines: int, seed: int, part: int, parts: int) -> None:
    """The whole life of this process."""
    lives = fleet.invent(machines, seed)[part::parts]
    memory = open_memory(url)
    feeder = Feeder(memory, lives, seed + part)
    try:
        await feeder.announce()
        running = asyncio.create_task(feeder.run())
        print("ready", flush=True)
        assert await asyncio.to_thread(sys.stdin.readline) == "go\n"
        feeder.go()
        before = time.process_time()
        await asyncio.to_thread(sys.stdin.read)
        used = time.process_time() - before
        if running.done():
            running.result()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        figures = {"beats": feeder.beats, "lost": feeder.lost, "cpuSeconds": used, "flushMs": summary(feeder.flush_ms)}
        print(json.dumps(figures | {"leavers": feeder.leavers()}), flush=True)
    finally:
        await memory.aclose()


if __name__ == "__main__":
    given = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(feed(given[0], *map(int, given[1:])))
