"""Remembers which nodes live, and the timing constants that they agreed on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import structlog
from msgspec import Struct

from relay.errors import Misconfigured, Unavailable
from relay.rules import timing
from relay.store.belonging import stay
from relay.store.connection import Commands
from relay.store.keys import Keys
from relay.store.layout import hold
from relay.store.memory import Memory, independent, one_then_all, some
from relay.store.script import Script

NODES = 500  # more nodes than this in one cluster are not listed; the bus would be full long before
LEASE_MS = int(timing.LEASE_SECONDS * 1000)
# A boot that did not say goodbye stays listed for so long after its lease: who cannot read the registry asks who may be
# cut off from Redis alone. Nobody runs a node that has had no Redis for an hour, and none can start without it.
LISTED_MS = 3_600_000
LEFT_MS = LEASE_MS * 4  # how old the entry of one that left is made: versions that know of none take it off the list

# Makes atomic: the boot's place in the list by this server's clock, with what it says of itself, and the removal of
# those that are long gone, or gone for longest of too many, as where one ends at each start. Answers whether its lease
# was still good.
_RENEW = Script(f"""
local now = clock()
local before = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
redis.call('ZADD', KEYS[1], int(now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local over = redis.call('ZCOUNT', KEYS[1], '-inf', '+inf') - {NODES}
local since, most = int(now - {LISTED_MS}), {NODES}
if over > 0 then since, most = int(now - {LEASE_MS}), math.min(over, most) end
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since, 'LIMIT', 0, most)
if #gone > 0 then
    redis.call('ZREM', KEYS[1], unpack(gone))
    redis.call('HDEL', KEYS[2], unpack(gone))
end
keep(KEYS[1], KEYS[2])
return before and now - before < {LEASE_MS} and 1 or 0
""")

# Makes atomic: the boot's end and that it was meant, which a list that could not be told of it does not say.
_LEAVE = Script(f"""
redis.call('ZADD', KEYS[1], int(clock() - {LEFT_MS}), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], '')
keep(KEYS[1], KEYS[2])
""")

# Makes atomic: the list and what its nodes said, at one moment of this server's clock; of those who left, nothing.
_LISTED = Script(f"""
local now, found = clock(), {{}}
local since = '(' .. int(now - {LISTED_MS})
local listed = redis.call('ZRANGE', KEYS[1], '+inf', since, 'BYSCORE', 'REV', 'LIMIT', 0, {NODES}, 'WITHSCORES')
for at = 1, #listed, 2 do
    found[#found + 1], found[#found + 2], found[#found + 3] =
        listed[at], int(now - listed[at + 1]), redis.call('HGET', KEYS[2], listed[at]) or ''
end
return found
""")

_KEEP = Script("keep(KEYS[1])")
_NOTHING_CHOSEN: Mapping[str, float] = {}

# Makes atomic: reading the cluster's values and being the first to write them. What an operator chose is written
# whatever was there, with a mark; and so is what is chosen no more, as after an older backup was restored.
_AGREE = Script("""
local differing = {}
for at = 1, #ARGV, 3 do
    local theirs = redis.call('HGET', KEYS[1], ARGV[at])
    local mark, chosen = 'chosen ' .. ARGV[at], ARGV[at + 2] == 'chosen'
    if chosen then redis.call('HSET', KEYS[1], mark, 1) end
    if not theirs or chosen or redis.call('HDEL', KEYS[1], mark) == 1 then
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    elseif tonumber(theirs) ~= tonumber(ARGV[at + 1]) then
        differing[#differing + 1], differing[#differing + 2] = ARGV[at], theirs
    end
end
keep(KEYS[1])
return differing
""")


class Marks(Struct, frozen=True):
    """What nodes of one cluster share, by names that tell nobody anything: the registry's id, and the secrets' ids."""

    registry: str = ""
    secrets: tuple[str, ...] = ()  # the one that signs first


class Lease(Struct, frozen=True):
    """One node's presence in the cluster, by the id that it drew at boot."""

    boot: str
    url: str
    started_ms: int
    draining: bool = False
    agents: int = 0  # connected when the lease was renewed
    browsers: int = 0
    marks: Marks = Marks()  # of a node that says nothing of them, nothing is known
    tokens: dict[str, int] = {}  # its agents by the id of the secret that signed the token which they keep
    rhythm: int | None = None  # revision of the times that it keeps; None: of a version that keeps its own
    away: bool = False  # whether it cannot read the registry


class Listed(NamedTuple):
    """Who is in the lists at one moment."""

    live: list[Lease]  # oldest first; of each what it said last
    vanished: list[str]  # boots whose lease ended within the last hour, and who had not said that they leave


class Leases:
    """The nodes that renewed within the last 15 s, in three lists on servers of their own where there are so many: a
    list that cannot be reached is made up for by the others. Methods raise `Unavailable` when none can be."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._decoder = msgspec.json.Decoder(Lease)
        self.misconfigured = False  # whether Redis is divided otherwise, or another cluster's, as of the last renewal

    async def renew(self, lease: Lease) -> bool:
        """Keep the node listed for another 15 s; whether it was until now. Keeps the agreement on timing alive too."""
        arguments = (lease.boot, msgspec.json.encode(lease).decode())
        renewals = (_RENEW.run(self._redis, names, arguments) for names in self._keys.leases)
        known, _ = await asyncio.gather(some(renewals), self._keep_agreement(lease.marks.registry))
        return any(known)

    async def release(self, boot: str) -> None:
        """End the node's lease at once, so that nobody misses it; for a clean exit."""
        await some(_LEAVE.run(self._redis, names, (boot,)) for names in self._keys.leases)

    async def live(self) -> list[Lease]:
        """All nodes with a lease in any list that can be reached, oldest first; of each what it said last."""
        return (await self.listed()).live

    async def listed(self) -> Listed:
        """Those, and who vanished without a word, as far as any list that can be reached knows."""
        latest: dict[str, tuple[int, str]] = {}
        left: set[str] = set()
        for answer in await some(_LISTED.run(self._redis, names) for names in self._keys.leases):
            for at in range(0, len(answer), 3):
                boot, age_ms, text = answer[at : at + 3]
                if not text:
                    left.add(boot)
                elif boot not in latest or int(age_ms) < latest[boot][0]:
                    latest[boot] = int(age_ms), text
        known = [(age_ms, self._decoder.decode(text)) for boot, (age_ms, text) in latest.items() if boot not in left]
        live = [lease for age_ms, lease in known if age_ms < LEASE_MS]
        vanished = [lease.boot for age_ms, lease in known if age_ms >= LEASE_MS and not lease.draining]
        return Listed(sorted(live, key=lambda lease: (lease.started_ms, lease.boot)), vanished)

    async def _keep_agreement(self, registry: str) -> None:
        outcomes = await asyncio.gather(
            hold(self._redis, self._keys),
            some(_KEEP.run(server, (self._keys.agreement,)) for server in independent(self._redis)),
            stay(self._redis, self._keys, registry) if registry else asyncio.sleep(0),
            return_exceptions=True,
        )
        refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for error in refusals:
            if isinstance(error, Misconfigured):  # somebody else came after a flush, or to servers that nobody reached
                structlog.get_logger().error(error.message)
            elif not isinstance(error, Unavailable):  # which waits: all of it lives on until a later renewal
                raise error
        if any(isinstance(error, Misconfigured) for error in refusals):
            self.misconfigured = True
        elif not refusals:
            self.misconfigured = False


async def agree(
    redis: Memory, keys: Keys, values: Mapping[str, float], chosen: Mapping[str, float] = _NOTHING_CHOSEN
) -> None:
    """Compare timing constants with the cluster's, which are those of whoever came first; raises `Misconfigured`
    naming both values of the first that differs, or how Redis is divided here and there. Those that an operator chose
    are not compared but made known, to versions that know of no choice. To be called before the first lease."""
    await hold(redis, keys)
    arguments: list[str] = []
    for name, value in {**values, **chosen}.items():
        arguments += (name, repr(float(value)), "chosen" if name in chosen else "")

    async def compare(server: Commands) -> list[str]:
        return [str(each) for each in await _AGREE.run(server, (keys.agreement,), arguments)]

    found = await one_then_all(independent(redis), compare, lambda differing: not differing)
    for name, theirs in (each[:2] for each in found if each):
        raise Misconfigured(f"{name} is {values[name]:g} here and {float(theirs):g} in the cluster that is running")
