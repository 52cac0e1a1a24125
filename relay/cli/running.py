"""Asks the cluster's Redis who runs, for commands that change what running nodes stand on."""

from __future__ import annotations

from collections.abc import Iterable

from relay.errors import Conflict, Unavailable
from relay.rules.timing import LEASE_SECONDS
from relay.settings import Settings

FORCE = "--force does it all the same"


async def refuse_while_running(settings: Settings, doing: str) -> None:
    """Raise `Conflict` if nodes hold leases or sweepers said a word lately, and `Unavailable` if nobody knows."""
    from relay.store.operator import name
    from relay.store.overview import open_overlook

    try:
        async with open_overlook(settings.redis_url, settings.redis_prefix) as overlook:
            found = await overlook.look()
    except Unavailable:
        raise Unavailable(
            f"Redis does not answer, so nobody knows whether nodes run; {doing} is for a cluster that stands still. "
            f"{FORCE}"
        ) from None
    running = []
    if found.nodes:
        running.append(f"nodes run: {', '.join(name(node.lease) for node in found.nodes)}")
    if found.sweepers:
        places = ", ".join(sweeper.place for sweeper in found.sweepers)
        running.append(f"sweepers run, or did within the last {LEASE_SECONDS:g} s: {places}")
    if running:
        raise Conflict(f"{'; '.join(running)}; {doing} is for a cluster that stands still. {FORCE}")


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
