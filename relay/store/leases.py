"""Remembers which nodes live, and the timing constants that they agreed on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from relay.errors import Misconfigured
from relay.rules import timing
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory, ask_all
from relay.store.script import Call, Script, run_all

NODES = 500  # more nodes than this in one cluster are not listed; the bus would be full long before
LEASE_MS = int(timing.LEASE_SECONDS * 1000)
INDEX_MS = LEASE_MS * 4  # a boot leaves the index only long after its lease: a step of the clock removes nobody

# Makes atomic: nothing but a key and its lifetime; a script so that `renew` is one round trip of three of them.
_RENEW = Script(f"""
redis.call('SET', KEYS[1], ARGV[1], 'PX', {LEASE_MS})
""")

# Makes atomic: the boot's place in the index by Redis's clock, and the removal of those that are long gone.
_INDEX = Script(f"""
local now = clock()
redis.call('ZADD', KEYS[1], int(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', int(now - {INDEX_MS}))
keep(KEYS[1])
""")

_KEEP = Script("keep(KEYS[1])")

# Makes atomic: reading the cluster's values and being the first to write them.
_AGREE = Script("""
local differing = {}
for at = 1, #ARGV, 2 do
    local theirs = redis.call('HGET', KEYS[1], ARGV[at])
    if not theirs then
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    elseif tonumber(theirs) ~= tonumber(ARGV[at + 1]) then
        differing[#differing + 1], differing[#differing + 2] = ARGV[at], theirs
    end
end
keep(KEYS[1])
return differing
""")


class Lease(Struct, frozen=True):
    """One node's presence in the cluster, by the id that it drew at boot."""

    boot: str
    url: str
    started_ms: int
    draining: bool = False
    agents: int = 0  # connected when the lease was renewed; a node one version behind does not say
    browsers: int = 0


class Leases:
    """The nodes that renewed within the last 15 s. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._decoder = msgspec.json.Decoder(Lease)

    async def renew(self, lease: Lease) -> None:
        """Keep the node listed for another 15 s; also keeps the agreement on timing alive."""
        await run_all(
            self._redis,
            [
                Call(_RENEW, (self._keys.lease(lease.boot),), (msgspec.json.encode(lease).decode(),)),
                Call(_INDEX, (self._keys.leases,), (lease.boot,)),
                Call(_KEEP, (self._keys.agreement,)),
            ],
        )

    async def release(self, boot: str) -> None:
        """Take the node off the list at once; for a clean exit."""
        await ask_all(self._redis, [("DEL", self._keys.lease(boot)), ("ZREM", self._keys.leases, boot)])

    async def live(self) -> list[Lease]:
        """All nodes with a lease, oldest first."""
        boots = await ask(self._redis, "ZRANGE", self._keys.leases, 0, NODES - 1)
        # Not MGET: in a Cluster each lease has its own slot.
        found = await ask_all(self._redis, [("GET", self._keys.lease(boot)) for boot in boots])
        leases = [self._decoder.decode(text) for text in found if text is not None]
        return sorted(leases, key=lambda lease: (lease.started_ms, lease.boot))


async def agree(redis: Memory, keys: Keys, values: Mapping[str, float]) -> None:
    """Compare timing constants with the cluster's, which are those of whoever came first; raises `Misconfigured`
    naming both values of the first that differs. To be called before the first lease."""
    arguments: list[str] = []
    for name, value in values.items():
        arguments += (name, repr(float(value)))
    differing = await _AGREE.run(redis, (keys.agreement,), arguments)
    if differing:
        name, theirs = differing[:2]
        raise Misconfigured(f"{name} is {values[name]:g} here and {float(theirs):g} in the cluster that is running")
