"""Shows that machines which a short absence of Redis kept out are excused once it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest

from relay.errors import Unavailable
from relay.node import excuses
from relay.node.excuses import Excuses

WAIT_SECONDS = 10.0  # a test that waits longer has found something


class Presence:
    """Stands in for Redis, of which some shards or all are away."""

    def __init__(self) -> None:
        self.turned_away: Any = None
        self.away: set[int] = set()
        self.gone = False
        self.told: list[int] = []
        self.asked = asyncio.Semaphore(0)

    async def excuse(self, shards: Collection[int]) -> frozenset[int]:
        """See the real one."""
        self.asked.release()
        if self.gone:
            raise Unavailable("the relay's memory (Redis) does not answer")
        self.told += sorted(set(shards) - self.away)
        return frozenset(self.away.intersection(shards))

    async def is_asked(self, times: int) -> None:
        """Wait until it was, so often more."""
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(times):
                await self.asked.acquire()


async def test_what_nobody_took_is_told_again_and_what_was_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excuses, "AGAIN_SECONDS", 0.0)
    presence = Presence()
    telling = asyncio.create_task(Excuses(cast(Any, presence)).run())
    presence.gone = True
    for shard in (3, 5, 3):
        presence.turned_away(shard)
    await presence.is_asked(2)
    assert presence.told == []
    presence.gone, presence.away = False, {5}
    await presence.is_asked(2)
    assert presence.told == [3]
    presence.away = set()
    await presence.is_asked(1)
    async with asyncio.timeout(WAIT_SECONDS):
        while presence.told != [3, 5]:  # noqa: ASYNC110 - the next turn of the loop tells
            await asyncio.sleep(0)
    asked = presence.asked._value
    for _ in range(10):
        await asyncio.sleep(0)
    assert presence.asked._value == asked, "nothing is owed, so nobody is asked"
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
