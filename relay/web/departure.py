"""Stores that an agent left: with a goodbye, lost from sight, before it was welcomed, or for good."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import SystemRandom
from typing import Any, NamedTuple

from relay.errors import NotFound, RelayError, Unavailable
from relay.node.agent import Agent
from relay.rules.presence import Fence
from relay.web.parts import Parts
from relay.web.sockets import Doors

REMOVED_AGAIN_SECONDS = (2.0, 4.0, 8.0, 16.0)  # a fleet that leaves at once asks for more than is written meanwhile


class Departure(NamedTuple):
    """How a connection of an agent ended that Redis has taken, or may have."""

    agent: Agent
    announcing: str  # the connection id in a hello that Redis has not answered
    seen_to_drop: bool  # it did not only stop to answer
    for_good: bool  # it asked to be removed


async def store(doors: Doors, left: Departure) -> None:
    """Let go of the machine under this connection's own fence: a newer connection is not touched by it."""
    await _attempted(doors, left.agent, _part(doors, left))
    if left.for_good:  # most close right behind their goodbye, and that ends what the connection was doing
        await _attempted(doors, left.agent, _remove_at_last(doors.parts, left.agent))  # whatever Redis said


async def _attempted(doors: Doors, agent: Agent, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except RelayError as error:
        doors.log.warning("a departure is not stored", machine=agent.machine, why=error.message)


async def _part(doors: Doors, left: Departure) -> None:
    agent = left.agent
    if agent.fence is not None:
        await _let_go(doors, agent, agent.fence, left.seen_to_drop)
    elif not doors.membership.draining:  # Redis may have taken the hello, and shows the machine for 90 s
        await doors.parts.presence.abandon(agent.workspace, agent.machine, left.announcing)


async def remove(parts: Parts, agent: Agent) -> None:
    """An ephemeral machine leaves for good, and its installation may register again; any other only says goodbye.
    Twice is as good as once."""
    try:
        row = await parts.directory.row(agent.workspace, agent.machine)
    except NotFound:
        return
    if row.ephemeral:
        await parts.registry.machines.leave(agent.workspace, agent.machine, parts.clock())
        await parts.changed()  # the tail closes this socket, as it does for every revocation


async def _remove_at_last(parts: Parts, agent: Agent) -> None:
    """The same, again where the registry was busy."""
    for seconds in REMOVED_AGAIN_SECONDS:
        try:
            await remove(parts, agent)
            return
        except Unavailable:
            await asyncio.sleep(seconds * SystemRandom().uniform(0.5, 1.5))
    await remove(parts, agent)


async def _let_go(doors: Doors, agent: Agent, fence: Fence, seen_to_drop: bool) -> None:
    presence = doors.parts.presence
    if agent.bye:
        await presence.goodbye(agent.workspace, agent.machine, fence)
    elif seen_to_drop and not doors.membership.draining:
        age_ms = int((asyncio.get_running_loop().time() - agent.heard) * 1000)
        await presence.drop(agent.workspace, agent.machine, fence, age_ms)
