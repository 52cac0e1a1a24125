"""Announces machines whose deadline has passed, and tells the registry who left and who came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from relay.errors import RegistryUnavailable, RelayError, Unavailable
from relay.registry import Mark, Registry
from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import OFFLINE_MS
from relay.rules.timing import SWEEP_SECONDS
from relay.store import Claimed, Claims, Leases, Presence
from relay.store.promptness import NODES_FIRST_SECONDS
from workers.meters import SweepMeters

CLAIM_IDS = 250  # per shard and round: SQL is told of all shards' together long before a claim lapses
NO_FENCE = "0:0:none"  # lower than any: a machine that left before a sweeper first told of it
SILENT = ("silent", "node-lost")  # they said nothing any more; others were seen to leave
BATCH_IDS = 500  # machines per SQL transaction: short ones, which two sweepers and the nodes' own fit between


class Round(NamedTuple):
    """What one round did."""

    offline: int
    online: int
    lost: int  # of those offline: machines that Redis had forgotten altogether
    more: bool  # a limit was reached: the next round should not wait


class Sweeper:
    """Sweeps all shards. Any number of sweepers may run: Redis hands out each machine once, and SQL takes a mark by
    machine and fence, so that a repeated one changes nothing."""

    def __init__(
        self,
        registry: Registry,
        presence: Presence,
        claims: Claims,
        leases: Leases,
        clock: Callable[[], int],
        meters: SweepMeters | None = None,
    ) -> None:
        self._machines = registry.machines
        self._presence = presence
        self._claims = claims
        self._leases = leases
        self._clock = clock  # Unix milliseconds, for rows that SQL dates; presence goes by Redis's clock
        self._meters = meters or SweepMeters(CollectorRegistry(), lambda: clock() / 1000)
        self.every_seconds = SWEEP_SECONDS
        self._compared = ""  # up to which machine the registry was compared with Redis

    async def run(self, shards: Sequence[int]) -> None:
        """Sweep every `every_seconds` until cancelled. Trouble with Redis or SQL is waited out: what was claimed and
        not confirmed is claimed again, by whoever is first. When Redis is back nodes are first: machines that were
        turned away meanwhile have a grace from when one of them says so."""
        away = False
        while True:
            more = False
            try:
                if away:
                    await self._leases.live()
                    await self._claims.look(shards)
                    away = False
                    await asyncio.sleep(NODES_FIRST_SECONDS)
                began = self._meters.began()
                done = await self.round(shards)
                more = done.more
                self._meters.done(began, more=more)
                if done.offline or done.online:
                    structlog.get_logger().info("a sweep told the registry", **done._asdict())
            except RelayError as error:
                away = away or not isinstance(error, RegistryUnavailable)
                self._meters.waited()
                structlog.get_logger().warning("a sweep waits", why=error.message)
            except Exception:
                self._meters.failed()
                structlog.get_logger().exception("a sweep failed")
            if not more:
                await asyncio.sleep(self.every_seconds)

    async def round(self, shards: Sequence[int]) -> Round:
        """Claim what is due, tell the registry, confirm; when that was all, compare one page of the registry with
        Redis. Shards that are away wait for a later round. Raises `Unavailable`."""
        await self._claims.look(shards)
        live = [lease.boot for lease in await self._leases.live()]
        claimed = await self._claims.claim(shards, CLAIM_IDS, live)
        self._meters.announced(self._clock(), (each.heard_ms for each in claimed if each.reason in SILENT))
        for start in range(0, len(claimed), BATCH_IDS):
            await self._tell(claimed[start : start + BATCH_IDS])
        more = len(claimed) >= CLAIM_IDS
        lost = 0 if more else await self._compare()  # what Redis knows of is announced first
        offline = sum(each.reason is not None for each in claimed)
        self._meters.told(offline=offline, online=len(claimed) - offline, forgotten=lost)
        return Round(offline + lost, len(claimed) - offline, lost, more)

    async def _tell(self, claimed: Sequence[Claimed]) -> None:
        marks = [Mark(each.machine, each.heard_ms, each.reason, each.fence.text) for each in claimed]
        try:
            await self._machines.mark(marks, self._clock())
        except RelayError:
            raise
        except Exception:
            if len(claimed) == 1:
                structlog.get_logger().exception("a machine cannot be marked", machine=claimed[0].machine)
                return  # not confirmed: it is claimed again in ten seconds, and holds nobody up until then
            for each in claimed:
                await self._tell([each])
            return
        try:
            await self._claims.confirm(claimed)
        except Unavailable as error:  # the registry knows, and is told once more; the next ones are not to wait for it
            structlog.get_logger().warning("what the registry was told is claimed again", why=error.message)

    async def _compare(self) -> int:
        """Find machines that the registry believes online although Redis, settled, has no record of them: they left
        while Redis lost its memory. A node that still has one's socket brings it back with its next beat."""
        page = await self._machines.believed_online(self._compared, SCRIPT_IDS)
        self._compared = page[-1].machine if len(page) == SCRIPT_IDS else ""
        # A hello tells the registry first and Redis then, and nobody is offline before they were silent for so long.
        page = [each for each in page if not 0 <= self._clock() - each.last_seen_ms < OFFLINE_MS]
        absent = set(await self._claims.absent([(each.workspace, each.machine) for each in page]))
        gone = [each for each in page if (each.workspace, each.machine) in absent]
        if not gone:
            return 0
        marks = [Mark(each.machine, each.last_seen_ms, "silent", each.fence or NO_FENCE) for each in gone]
        changed = set(await self._machines.mark(marks, self._clock()))
        by_workspace: dict[str, list[str]] = {}
        for each in gone:
            if each.machine in changed:
                by_workspace.setdefault(each.workspace, []).append(each.machine)
        for workspace, machines in by_workspace.items():
            try:
                await self._presence.ring(workspace, machines)
            except Unavailable as error:  # gone since it was asked; whoever reads its shard anew sees it
                structlog.get_logger().warning("the bell of a workspace did not ring", why=error.message)
        return len(changed)
