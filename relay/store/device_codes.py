"""Remembers device sign-ins (RFC 8628) between the terminal that waits and the person who approves."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from relay.rules.timing import DEVICE_CODE_SECONDS, REDIS_KEPT_SECONDS
from relay.store.connection import ask
from relay.store.keys import Keys, digest
from relay.store.memory import Memory
from relay.store.script import Argument, Script

POLL_SECONDS = 5.0  # RFC 8628's default interval; each poll that comes sooner adds as much again
POLL_EARLY_MS = 500  # a poll may come this much sooner: clocks and networks are not that exact
_DEVICE_MS = int(DEVICE_CODE_SECONDS * 1000)
_POLL_MS = int(POLL_SECONDS * 1000)

# Makes atomic: writing the sign-in as a whole with its lifetime. Its end is a field: later polls are told `expired`.
_BEGIN = Script(f"""
local now = clock()
redis.call('HSET', KEYS[1], 'state', 'waiting', 'client', ARGV[1], 'ends', int(now + {_DEVICE_MS}),
    'interval', {_POLL_MS}, 'polled', 0)
keep(KEYS[1])
""")

# Makes atomic: the check that it still waits, and the decision: of two persons, or of yes and no, the first counts.
_DECIDE = Script("""
local found = redis.call('HMGET', KEYS[1], 'state', 'ends')
if found[1] ~= 'waiting' or clock() > tonumber(found[2]) then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'person', ARGV[2])
return 1
""")

# Makes atomic: reading the decision and using it up, so that an approved device is told once; and the pace of polls.
_POLL = Script(f"""
local now = clock()
local found = redis.call('HMGET', KEYS[1], 'state', 'ends', 'interval', 'polled', 'person')
local state, interval = found[1], tonumber(found[3])
if not state or state == 'used' or now > tonumber(found[2]) then return {{'expired'}} end
if state == 'approved' then
    redis.call('HSET', KEYS[1], 'state', 'used')
    return {{'approved', found[5]}}
end
if state == 'denied' then return {{'denied'}} end
local reason = 'authorization-pending'
if now - tonumber(found[4]) < interval - {POLL_EARLY_MS} then
    reason, interval = 'slow-down', interval + {_POLL_MS}
end
redis.call('HSET', KEYS[1], 'polled', int(now), 'interval', int(interval))
return {{reason, int(interval)}}
""")

# Makes atomic: nothing; one round trip for what waits and whether it is too late.
_CLIENT = Script("""
local found = redis.call('HMGET', KEYS[1], 'state', 'ends', 'client')
if found[1] ~= 'waiting' or clock() > tonumber(found[2]) then return false end
return found[3]
""")


class Waiting(Struct, frozen=True):
    """Nobody decided yet; `slow-down`: and you ask too often, wait `interval_seconds` between polls."""

    reason: Literal["authorization-pending", "slow-down"]
    interval_seconds: float


class Approved(Struct, frozen=True):
    """Somebody approved; told exactly once."""

    person: str


class Ended(Struct, frozen=True):
    """The sign-in was denied, or is unknown, used or too old."""

    reason: Literal["denied", "expired"]


class DeviceCodes:
    """Device sign-ins of the last ten minutes, stored by digest only. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def begin(self, device_code: str, user_code: str, client: str = "") -> bool:
        """Start waiting; False when the user code is in use and another must be drawn. The person is shown `client`."""
        name = digest(device_code)
        await _BEGIN.run(self._redis, (self._keys.device(name),), (client,))
        key = self._keys.user_code(user_code)
        return bool(await ask(self._redis, "SET", key, name, "NX", "EX", REDIS_KEPT_SECONDS))

    async def client(self, user_code: str) -> str | None:
        """What asks to be signed in under this user code; None when nothing waits under it."""
        found = await self._by_user_code(_CLIENT, user_code)
        return None if found is None else str(found)

    async def approve(self, user_code: str, person: str) -> bool:
        """Sign the device in as this person; False when nothing waits under the code."""
        return bool(await self._by_user_code(_DECIDE, user_code, "approved", person))

    async def deny(self, user_code: str) -> bool:
        """Refuse the device; False when nothing waits under the code."""
        return bool(await self._by_user_code(_DECIDE, user_code, "denied", ""))

    async def poll(self, device_code: str) -> Waiting | Approved | Ended:
        """What the waiting device is told."""
        answer = await _POLL.run(self._redis, (self._keys.device(digest(device_code)),))
        match answer:
            case [("authorization-pending" | "slow-down") as reason, interval]:
                return Waiting(reason, int(interval) / 1000)
            case ["approved", person]:
                return Approved(person)
            case [("denied" | "expired") as reason]:
                return Ended(reason)
            case _:
                raise AssertionError(f"a poll answered {answer!r}")

    async def _by_user_code(self, script: Script, user_code: str, *arguments: Argument) -> object:
        name: str | None = await ask(self._redis, "GET", self._keys.user_code(user_code))
        if name is None:
            return None
        # Two steps on purpose: the two keys are of different slots, and the first never changes once written.
        return await script.run(self._redis, (self._keys.device(name),), arguments)
