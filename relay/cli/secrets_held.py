"""Finds out what hangs on each secret of a cluster, by the secrets' fingerprints."""

from __future__ import annotations

import time
from typing import Any, NamedTuple


class Held(NamedTuple):
    """What is known: by secret and kind how much needs it, the secrets of each node, and who cannot be counted."""

    counts: dict[str, dict[str, int]]
    nodes: dict[str, tuple[str, ...]]
    unconnected: int  # registered machines that no node has now; their tokens are theirs alone to know

    def on(self, secret: str) -> dict[str, int]:
        """What would be unknown without this secret, by kind."""
        return {kind: count for kind, count in self.counts.get(secret, {}).items() if count}


KINDS = ("keys", "tokens", "sign-ins", "links", "machines")


async def held(settings: Any) -> Held:
    """Ask the registry and the nodes; raises `Unavailable` or `Misconfigured`."""
    from relay.registry import Registry
    from relay.store.operator import name, open_operator

    registry = await Registry.open(settings.database_url)
    try:
        hanging = await registry.census.hanging(time.time_ns() // 1_000_000)
        machines = await registry.census.machines()
    finally:
        await registry.close()
    async with open_operator(settings.redis_url, settings.redis_prefix) as operator:
        leases = await operator.nodes()
    counts: dict[str, dict[str, int]] = {}
    for each in hanging:
        counts.setdefault(each.secret, {})[each.kind] = each.how_many
    connected = 0
    for lease in leases:
        for secret, agents in lease.tokens.items():
            kinds = counts.setdefault(secret, {})
            kinds["machines"] = kinds.get("machines", 0) + agents
            connected += agents
    nodes = {name(lease): lease.marks.secrets for lease in leases}
    return Held(counts, nodes, max(0, machines - connected))
