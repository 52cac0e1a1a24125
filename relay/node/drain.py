"""Empties a node before it stops: its peers are sent to other nodes, spread over a window, agents first."""

from __future__ import annotations

import asyncio

import structlog

from relay.errors import Close, RelayError
from relay.node.hub import Hub
from relay.node.membership import Membership
from relay.node.socket import Socket
from relay.rules import messages as m

AGENTS_SHARE = 0.6  # of the window; sessions follow their agents, so browsers that come later come once
PARTING_SECONDS = 5.0  # for the last close to be sent; whoever is still there then hears that the process ends
LOOK_SECONDS = 0.02  # sockets tell nobody that they are gone; this is far below what a drain takes


async def drain(hub: Hub, membership: Membership, seconds: float) -> None:
    """Turn away newcomers, then close everybody with 4200 over `seconds`, evenly."""
    membership.draining = True
    try:
        await membership.renew()  # others stop naming this node
    except RelayError as error:
        structlog.get_logger().warning("nobody can be told of the drain", why=error.message)
    agents = list(hub.agents.values())
    structlog.get_logger().info("draining", agents=len(agents), browsers=len(hub.browsers), seconds=seconds)
    for agent in agents:
        agent.send(m.Move(nodes=membership.urls(), within_seconds=seconds * AGENTS_SHARE))
    await _close_evenly([agent.socket for agent in agents], seconds * AGENTS_SHARE)
    await _close_evenly([browser.socket for browser in list(hub.browsers)], seconds * (1 - AGENTS_SHARE))
    await _all_gone(hub)


async def _close_evenly(sockets: list[Socket], seconds: float) -> None:
    for socket in sockets:
        await asyncio.sleep(seconds / len(sockets))
        socket.close(Close.DRAINING)


async def _all_gone(hub: Hub) -> None:
    """Wait until everybody has been told, or for a limited time: to be asked to close is not to have closed."""
    for _ in range(int(PARTING_SECONDS / LOOK_SECONDS)):
        if not hub.agents and not hub.browsers:
            return
        await asyncio.sleep(LOOK_SECONDS)
