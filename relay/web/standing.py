"""Finds out what the registry keeps of a machine that says hello, and settles its registration first if that is due."""

from __future__ import annotations

from relay.errors import MachineRevoked, NotFound, RegistryUnavailable, Unavailable
from relay.node.agent import Agent
from relay.rules.machine import Registered
from relay.web.parts import Parts


async def settle_first(parts: Parts, agent: Agent, token_version: int) -> Registered | None:
    """Make true what a registration asked for, the name above all, at its first hello; the answer is the machine that
    lost its name to this one. Raises `MachineRevoked` or `RegistryUnavailable`.

    It comes before Redis hears of the connection: that Redis has heard of a token version is what tells other nodes
    that it was settled, so that a storm of hellos asks no SQL. What fails here leaves nothing that says so.
    """
    try:
        row = await parts.directory.row(agent.workspace, agent.machine)
    except (NotFound, RegistryUnavailable):
        row = None  # revoked, or this node has yet to hear that it registered
    if row is not None and token_version <= row.settled_version:
        return None
    try:
        if await parts.revocations.holds(agent.workspace, agent.machine):
            raise MachineRevoked("this machine was revoked")  # however often it comes back, it costs no SQL
        record = await parts.presence.locate(agent.workspace, agent.machine)
    except Unavailable:
        parts.presence.turned_away(parts.presence.shard(agent.workspace))
        raise
    if record is not None and record.fence.token_version >= token_version:
        return None
    try:
        settled = await parts.registry.machines.settle(agent.machine, token_version, parts.clock())
    except NotFound:
        raise MachineRevoked("this machine is not registered") from None
    await parts.changed()
    return settled.shadowed


async def row_of(parts: Parts, agent: Agent) -> Registered | None:
    """What the registry keeps of an announced machine; None if it is away and this node has not heard of the machine,
    which is no reason to turn it away: Redis has. Raises `MachineRevoked` where it keeps nothing any more."""
    try:
        return await parts.directory.row(agent.workspace, agent.machine)
    except NotFound:
        pass  # revoked, or this node has yet to hear that it registered: only the registry knows
    except RegistryUnavailable:
        return None
    try:
        return await parts.registry.machines.get(agent.machine)
    except NotFound:
        raise MachineRevoked("this machine is not registered") from None
    except RegistryUnavailable:
        return None


def described(agent: Agent, row: Registered | None) -> dict[str, str]:
    """What a welcome says of the machine, as far as it is known."""
    if row is None:
        return {"id": agent.machine, "workspaceId": agent.workspace}
    return {
        "id": row.id,
        "name": row.name,
        "hostname": row.hostname,
        "workspaceId": row.workspace,
        "workspaceName": row.workspace_name,
        "visibility": row.visibility,
    }
