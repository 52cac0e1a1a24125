"""Asks the cluster's Redis who runs, for commands that change what running nodes stand on."""

from __future__ import annotations

from collections.abc import Iterable

from relay.errors import Conflict, Unavailable
from relay.settings import Settings

FORCE = "--force does it all the same"


async def refuse_while_running(settings: Settings, doing: str) -> None:
    """Raise `Conflict` if nodes hold leases, and `Unavailable` if nobody knows."""
    from relay.store.operator import name, open_operator

    try:
        async with open_operator(settings.redis_url, settings.redis_prefix) as operator:
            nodes = await operator.nodes()
    except Unavailable:
        raise Unavailable(
            f"Redis does not answer, so nobody knows whether nodes run; {doing} is for a cluster that stands still. "
            f"{FORCE}"
        ) from None
    if nodes:
        raise Conflict(f"nodes run: {', '.join(map(name, nodes))}; {doing} is for a cluster that stands still. {FORCE}")


async def mirrored(settings: Settings, machines: Iterable[tuple[str, str]]) -> tuple[set[str], int]:
    """Those of these (workspace, machine) that Redis's mirror says are revoked, and how far it goes; raises
    `Unavailable`."""
    from relay.store import Keys, Revocations, open_memory

    memory = open_memory(settings.redis_url)
    try:
        mirror = Revocations(memory, Keys(settings.redis_prefix))
        return await mirror.among(machines), await mirror.highest()
    finally:
        await memory.aclose()
