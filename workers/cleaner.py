"""Forgets what is over: used links, ended credentials, names given up a day ago, machines long offline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from relay.errors import RelayError
from relay.registry import Registry
from relay.rules.limits import SCRIPT_IDS
from relay.store import Claims

CLEAN_SECONDS = 3_600.0  # nothing here is urgent; with jitter, so that two sweepers rarely clean at once
DAY_MS = 86_400_000
KEPT_MS = 7 * DAY_MS  # a used link or an ended sign-in can still be told from an unknown one for a week
CHANGES_KEPT_MS = 7 * DAY_MS  # a node's tail is seconds behind, and one that slept for days starts anew


def _unseen(count: int) -> None:
    """Nobody counts."""


class Cleaner:
    """Cleans the registry and Redis. Two may clean at once: what is forgotten is forgotten."""

    def __init__(
        self, registry: Registry, claims: Claims, clock: Callable[[], int], cleaned: Callable[[int], None] = _unseen
    ) -> None:
        self._registry = registry
        self._claims = claims
        self._clock = clock
        self._cleaned = cleaned  # is told how many went

    async def run(self, shards: Sequence[int]) -> None:
        """Clean about once an hour until cancelled."""
        while True:
            try:
                self._cleaned(await self.round(shards))
            except RelayError as error:
                structlog.get_logger().warning("cleaning waits", why=error.message)
            except Exception:
                structlog.get_logger().exception("cleaning failed")
            await asyncio.sleep(CLEAN_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - keeps no secret

    async def round(self, shards: Sequence[int]) -> int:
        """Clean once; how many rows and records went. Raises `Unavailable`."""
        now = self._clock()
        gone = await self._registry.links.clean(now - KEPT_MS)
        gone += await self._registry.credentials.clean(now - KEPT_MS)
        gone += await self._registry.machines.clean(now)
        gone += await self._registry.changes.clean(now - CHANGES_KEPT_MS)
        while retired := await self._claims.retire(shards, SCRIPT_IDS):
            gone += retired
        return gone
