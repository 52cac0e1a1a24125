"""Shows that what is shown of agents reaches the servers of Redis that live while another is away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from relay.errors import Unavailable
from relay.node.agent import Agent
from relay.node.infos import Infos
from relay.rules.agent_messages import AgentHello
from relay.rules.presence import Fence, Info
from tests.node.two_nodes import WAIT_SECONDS, Peer
from tests.rules.samples import number


class Redis:
    """Has two workspaces on two servers, of which one is away."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.away = True
        self.changed = asyncio.Event()

    def shard(self, workspace: str) -> int:
        """By server."""
        return 0 if workspace == "away" else 1

    async def describe(self, workspace: str, machine: str, fence: Fence, info: Info) -> bool:
        """Note of whom something is told."""
        await asyncio.sleep(0)
        if workspace == "away" and self.away:
            raise Unavailable("its primary is away")
        self.told.add(machine)
        self.changed.set()
        return True

    async def knows_of(self, agents: list[Agent]) -> None:
        """Wait until all of these are described."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not {agent.machine for agent in agents} <= self.told:
                self.changed.clear()
                await self.changed.wait()


def agent(n: int, workspace: str) -> Agent:
    """One that is admitted."""
    hello = AgentHello(instance=number(n), hostname="box", version="1")
    made = Agent(Peer(), workspace, number(n), hello, 0.0)
    made.fence, made.admitted = Fence(1, 7, number(n)), True
    return made


async def test_agents_whose_server_is_away_hold_up_no_others_and_are_told_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.node.infos.GATHER_SECONDS", 0.0)
    monkeypatch.setattr("relay.node.infos.RETRY_SECONDS", 0.0)
    redis = Redis()
    infos = Infos(cast(Any, redis))
    agents = [agent(n, "away" if n % 3 == 0 else "here") for n in range(30)]
    running = asyncio.create_task(infos.run())
    try:
        for each in agents:
            infos.changed(each)
        await redis.knows_of([each for each in agents if each.workspace == "here"])
        assert len(redis.told) == 20
        redis.away = False
        await redis.knows_of(agents)
    finally:
        running.cancel()
        await asyncio.wait([running])
