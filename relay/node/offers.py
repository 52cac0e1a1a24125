"""Asks agents to move to other nodes by themselves, spread out, and closes none of them."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog

from relay.node.agent import Agent
from relay.node.hub import Hub
from relay.node.pace import Pace, Step, spread
from relay.rules.agent_messages import Move
from relay.rules.timing import LEASE_RENEW_SECONDS

OFFER_SECONDS = 30.0  # in which agents are asked one after the other: ten thousand of them are then 330 hellos a second
EACH_SECONDS = 0.1  # for each agent, where they are so few that it takes less
SHARED_SECONDS = OFFER_SECONDS + 2 * LEASE_RENEW_SECONDS  # until an operator sees in the leases what came of a share


class Offers:
    """Offers to move. Whoever finds no welcome elsewhere stays."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._plan: list[tuple[float, Step]] = []
        self._everybody = False
        self._shares_until = -math.inf  # monotonic seconds
        self._rung = asyncio.Event()

    def share(self, to: Mapping[str, int]) -> None:
        """Ask so many agents, whichever, to move to each of these addresses; nobody while an earlier share is being
        carried out, for whoever asked for another one counted those who are about to leave."""
        now = asyncio.get_running_loop().time()
        if now < self._shares_until:
            structlog.get_logger().warning("a share is not begun while an earlier one shows", to=dict(to))
            return
        self._shares_until = now + SHARED_SECONDS
        agents = random.sample(list(self._hub.agents.values()), len(self._hub.agents))
        for url, count in to.items():
            some, agents = agents[:count], agents[count:]
            structlog.get_logger().info("agents are asked to move", agents=len(some), to=url)
            self._begin(some, [url], self._ask)

    def everybody(self, nodes: list[str]) -> None:
        """Ask all agents to move to any of these addresses."""
        structlog.get_logger().info("agents are asked to move", agents=len(self._hub.agents), to=nodes)
        self._everybody = True
        self._begin(self._hub.agents.values(), nodes, self._ask_unless_withdrawn)

    def withdraw(self) -> None:
        """Of everybody ask nobody else: the reason is gone."""
        self._everybody = False

    def _begin(self, agents: Iterable[Agent], nodes: list[str], ask: Callable[[Agent, list[str]], None]) -> None:
        asked = list(agents)
        moments = spread(asked, min(OFFER_SECONDS, len(asked) * EACH_SECONDS))
        self._plan += [(at, partial(ask, agent, nodes)) for at, agent in moments]
        self._rung.set()

    def _ask_unless_withdrawn(self, agent: Agent, nodes: list[str]) -> None:
        if self._everybody:
            self._ask(agent, nodes)

    def _ask(self, agent: Agent, nodes: list[str]) -> None:
        if self._hub.agents.get(agent.machine) is agent:  # else it has moved already
            self._hub.outcomes.moves += 1
            agent.send(Move(nodes=nodes, within_seconds=OFFER_SECONDS))

    async def run(self) -> None:
        """Ask whoever is to be asked, each at its moment, until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            plan, self._plan = self._plan, []
            await Pace().walk(plan)
