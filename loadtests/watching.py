"""Plays browsers that watch a workspace, and measures how soon each hears of a machine that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

from loadtests.agents import Agents
from loadtests.seeding import Seeded
from relay.client.connection import Options, connected
from relay.client.subscription import Subscription, follow

COMPLETE_SECONDS = 30.0  # a snapshot of ten thousand machines for each of many browsers in one process
LOOK_SECONDS = 0.25
HEAR_SECONDS = 10.0  # a goodbye is told at once; whoever has not heard by now never will


class Browsers:
    """Subscriptions of as many browsers."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self._subscriptions = subscriptions

    async def all_show(self, online: int) -> int:
        """Wait until every browser shows at least so many machines online; how many do in time."""

        async def complete(subscription: Subscription) -> None:
            # Looked at now and then: counting ten thousand machines at each change would be the load itself.
            while sum(machine.online for machine in subscription.machines.values()) < online:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

        return await _in_time([complete(subscription) for subscription in self._subscriptions], COMPLETE_SECONDS)

    async def hear_goodbye(self, agents: Agents, machine: Seeded) -> list[float]:
        """Let one agent leave; after how many milliseconds each browser that heard of it did."""
        loop = asyncio.get_running_loop()
        heard: list[float] = []
        began = loop.time()

        async def hear(subscription: Subscription) -> None:
            await subscription.until(lambda picture: not picture.machines[machine.id].online)
            heard.append((loop.time() - began) * 1000)

        waiting = asyncio.create_task(
            _in_time([hear(subscription) for subscription in self._subscriptions], HEAR_SECONDS)
        )
        await agents.leave(machine)
        await waiting
        return heard


@asynccontextmanager
async def browsers(urls: list[str], token: str, workspace: str, count: int, random: Random) -> AsyncIterator[Browsers]:
    """So many browsers, each on a socket of its own to a node of its choice."""
    async with AsyncExitStack() as stack:
        subscriptions = []
        for _ in range(count):
            connection = await stack.enter_async_context(connected(urls, token, Options(random=random)))
            subscriptions.append(follow(connection, workspace))
        yield Browsers(subscriptions)


async def _in_time(waits: Sequence[Coroutine[Any, Any, object]], seconds: float) -> int:
    tasks = [asyncio.create_task(wait) for wait in waits]
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return len([task for task in done if task.exception() is None])
