"""Checks that what is over is forgotten, and nothing else."""

from __future__ import annotations

from relay.store import Claims
from tests.registry.acme import DAY_MS, make_hash
from tests.workers.fleet import Fleet
from workers.cleaner import Cleaner


async def test_used_links_old_names_and_machines_long_offline_are_forgotten(fleet: Fleet) -> None:
    acme = fleet.acme
    machine, fence = await fleet.join("prod")
    await fleet.registry.machines.rename(machine, "production", acme.as_jane, acme.later())
    await fleet.registry.links.create_sign_in(
        acme.owner.id, make_hash(), acme.now_ms + 1_000, acme.as_jane, acme.later()
    )
    await fleet.presence.goodbye(fleet.workspace, machine, fence)
    await fleet.sweeper().round([fleet.shard])
    cleaner = Cleaner(fleet.registry, Claims(fleet.redis, fleet.keys), lambda: acme.now_ms)
    assert await cleaner.round(fleet.keys.shards) == 0
    assert await fleet.registry.machines.former(acme.id, acme.now_ms) == {machine: ("prod",)}

    acme.later(8 * DAY_MS)
    assert fleet.valkey is not None
    for _ in range(3):
        fleet.valkey.forward(80_000)
        await fleet.flush()
    assert await cleaner.round(fleet.keys.shards) >= 3
    assert await fleet.registry.machines.former(acme.id, 0) == {}
    assert await fleet.presence.locate(fleet.workspace, machine) is None
    assert (await fleet.row(machine)).offline_reason == "closed"  # the registry remembers the machine itself
    assert await cleaner.round(fleet.keys.shards) == 0
