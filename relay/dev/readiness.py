"""Asks local nodes whether they are ready, and whether this machine's agent is online."""

from __future__ import annotations

import asyncio

from relay.client.profile import Profile
from relay.client.rest import Rest
from relay.errors import RelayError

ANSWER_SECONDS = 2.0  # a node that answers later is not ready in any useful sense


async def is_ready(host: str, port: int) -> bool:
    """Whether `/readyz` of the node on this port answers 200."""
    request = f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode("ascii"))
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def is_online(profile: Profile, nodes: list[str], token: str, within_seconds: float) -> bool:
    """Whether the machine that the agent with this profile registered was heard within so many seconds; one that was
    online when everything stopped still counts as online for a while."""
    entry = profile.enrolment(nodes[0])
    if entry is None or not entry.machine_id:
        return False
    try:
        machine = await asyncio.to_thread(Rest(nodes, token).get, f"/api/machines/{entry.machine_id}")
    except RelayError:
        return False
    age_seconds = machine["heartbeatAgeSeconds"]
    return bool(machine["online"]) and age_seconds is not None and age_seconds <= within_seconds
