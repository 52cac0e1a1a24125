"""Remembers token buckets, so that a limit per person or address holds across nodes."""

from __future__ import annotations

from typing import NamedTuple

from relay.store.keys import Keys
from relay.store.memory import Memory
from relay.store.script import Script

# Makes atomic: filling the bucket by the time that passed and taking from it, or telling how long to wait.
_TAKE = Script("""
local burst, per_second, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = clock()
local bucket = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
level = math.min(burst, level + math.max(0, now - at) / 1000 * per_second)
local wait = 0
if level >= cost then level = level - cost else wait = math.ceil((cost - level) / per_second * 1000) / 1000 end
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', int(now))
keep(KEYS[1])
return string.format('%.3f', wait)
""")


class Rate(NamedTuple):
    """A named limit: so many at once, and so many a second after that."""

    name: str
    burst: int
    per_second: float


class Rates:
    """Token buckets by Redis's clock. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def take(self, rate: Rate, subject: str, cost: int = 1) -> float:
        """Take from the subject's bucket: 0.0 when it was allowed, else the seconds after which it would be."""
        assert 0 < cost <= rate.burst
        assert rate.per_second > 0
        key = self._keys.rate(rate.name, subject)
        return float(await _TAKE.run(self._redis, (key,), (rate.burst, rate.per_second, cost)))
