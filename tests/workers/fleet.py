"""Tells stories about machines that are registered, beat, and leave, while sweepers watch."""

from __future__ import annotations

from redis.asyncio import Redis

from relay.registry import Registry
from relay.rules.machine import Registered
from relay.rules.presence import Fence
from relay.store import Claims, Keys, Leases, Presence
from tests.registry.acme import Acme
from tests.store.cluster import Cluster
from tests.support.valkey import Valkey
from workers.meters import SweepMeters
from workers.sweeper import Sweeper


class Fleet(Cluster):
    """A cluster whose machines are in the registry too."""

    def __init__(self, acme: Acme, redis: Redis, valkey: Valkey, keys: Keys) -> None:
        super().__init__(redis, keys, valkey)
        self.acme = acme
        self.registry = acme.registry
        self.enter(acme.id)

    @classmethod
    async def found(cls, registry: Registry, redis: Redis, valkey: Valkey, keys: Keys) -> Fleet:
        """A workspace whose shard is settled."""
        fleet = cls(await Acme.found(registry), redis, valkey, keys)
        await fleet.settle()
        return fleet

    def sweeper(self, presence: Presence | None = None, meters: SweepMeters | None = None) -> Sweeper:
        """One more sweeper."""
        claims, leases = Claims(self.redis, self.keys), Leases(self.redis, self.keys)
        return Sweeper(self.registry, presence or self.presence, claims, leases, lambda: self.acme.now_ms, meters)

    async def join(self, name: str) -> tuple[str, Fence]:
        """A machine registers and says hello."""
        registration = await self.acme.register(self.acme.jane, name)
        machine = registration.machine.id
        await self.acme.registry.machines.settle(machine, registration.token_version, self.acme.later())
        return machine, await self.welcome(machine, token_version=registration.token_version)

    async def row(self, machine: str) -> Registered:
        """What the registry says of a machine."""
        return await self.registry.machines.get(machine)
