"""Empties a node before it stops: its peers are sent to other nodes, spread over a window, agents first."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from relay.errors import Close, RelayError
from relay.node.agent import Agent
from relay.node.hub import Hub
from relay.node.membership import Membership
from relay.node.pace import Pace, Step, spread
from relay.node.socket import Socket
from relay.rules.agent_messages import Move

# Parts of the window. Sessions follow their agents, so browsers that are told later come once.
OFFERED_SHARE = 0.4  # in which every agent is asked to move by itself, which interrupts nothing
MOVING_SHARE = 0.2  # that each agent has for it before its socket is closed
BROWSERS_SHARE = 1 - OFFERED_SHARE - MOVING_SHARE
TELL_SECONDS = 2.0  # for Redis to take that this node drains; without Redis nobody can be told anyway
PARTING_SECONDS = 5.0  # for the last close to be sent; whoever is still there then hears that the process ends
HURRIED_SECONDS = 1.0  # the same for somebody in a hurry: a peer that lives answers within a round trip
LOOK_SECONDS = 0.02  # sockets tell nobody that they are gone; this is far below what a drain takes


class Drain:
    """One node's drain, which happens once. Newcomers are turned away from its beginning on."""

    def __init__(self, hub: Hub, membership: Membership) -> None:
        self._hub = hub
        self._membership = membership
        self._pace = Pace()

    def hurry(self) -> None:
        """Do not wait any longer: whoever is still here is closed now."""
        self._pace.hurry()

    @property
    def hurried(self) -> bool:
        """Whether somebody asked for haste."""
        return self._pace.hurried

    async def run(self, seconds: float) -> None:
        """Send everybody away with 4200 over `seconds`; agents are asked to move by themselves first."""
        hub, membership = self._hub, self._membership
        membership.draining = True
        agents = [*hub.agents.values(), *hub.knocking]
        browsers = list(hub.browsers)
        structlog.get_logger().info("draining", agents=len(agents), browsers=len(browsers), seconds=seconds)
        await self._tell()
        plan: list[tuple[float, Step]] = []
        for at, agent in spread(agents, seconds * OFFERED_SHARE):
            plan.append((at, partial(self._offer, agent, seconds * MOVING_SHARE)))
            plan.append((at + seconds * MOVING_SHARE, partial(agent.socket.close, Close.DRAINING)))
        for at, browser in spread(browsers, seconds * BROWSERS_SHARE):
            plan.append((at + seconds * (1 - BROWSERS_SHARE), partial(browser.socket.close, Close.DRAINING)))
        await self._pace.walk(plan)
        await self._see_off()

    async def _tell(self) -> None:
        """Others stop naming this node."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._membership.renew()
        except (RelayError, TimeoutError) as error:
            structlog.get_logger().warning("nobody can be told of the drain", why=str(error))

    def _offer(self, agent: Agent, seconds: float) -> None:
        """Ask an agent to move, if there is anywhere to go and it may be spoken to yet."""
        nodes = self._membership.others()
        if nodes and agent.admitted:
            self._hub.outcomes.moves += 1
            agent.send(Move(nodes=nodes, within_seconds=seconds))

    async def _see_off(self) -> None:
        """Close whoever came in while the others left, and wait until all are gone or for a limited time: to be asked
        to close is not to have closed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while here := self._sockets():
            for socket in here:
                socket.close(Close.DRAINING)
            if loop.time() - began > (HURRIED_SECONDS if self.hurried else PARTING_SECONDS):
                structlog.get_logger().warning("somebody does not leave", left=len(here))
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _sockets(self) -> list[Socket]:
        hub = self._hub
        agents = [agent.socket for agent in (*hub.agents.values(), *hub.knocking)]
        return agents + [browser.socket for browser in hub.browsers]
