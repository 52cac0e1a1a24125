"""Remembers which registry the keys under a prefix belong to, so that two clusters never share them by mistake."""

from __future__ import annotations

from relay.errors import Misconfigured
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory
from relay.store.script import Script

SHORT_CHARACTERS = 8  # of a registry's id, enough to tell two apart

# Makes atomic: reading whose keys these are and being the first to say so, after a flush as well.
_CLAIM = Script("""
local theirs = redis.call('GET', KEYS[1])
if not theirs then
    redis.call('SET', KEYS[1], ARGV[1])
    theirs = ARGV[1]
end
if theirs == ARGV[1] then keep(KEYS[1]) end
return theirs
""")


async def claim(redis: Memory, keys: Keys, registry: str) -> str:
    """The registry whose keys these are: this one, unless another was here before. Raises `Unavailable`."""
    found = await _CLAIM.run(redis, (keys.registry,), (registry,))
    return str(found)


async def holder(redis: Memory, keys: Keys) -> str | None:
    """The registry whose keys these are, if anybody said; raises `Unavailable`."""
    found = await ask(redis, "GET", keys.registry)
    return None if found is None else str(found)


async def belong(redis: Memory, keys: Keys, registry: str) -> None:
    """Be of the cluster whose keys these are. Raises `Misconfigured` if that is another's, `Unavailable`."""
    found = await claim(redis, keys, registry)
    if found != registry:
        raise Misconfigured(refusal(keys, registry, found))


def refusal(keys: Keys, here: str, there: str) -> str:
    """What an operator is told who gave two clusters one prefix."""
    return (
        f"another cluster uses this Redis under the prefix {keys.prefix!r}: its registry is "
        f"{there[:SHORT_CHARACTERS]}, and RELAY_DATABASE_URL names {here[:SHORT_CHARACTERS]}; "
        "give one of them a RELAY_REDIS_PREFIX of its own "
        f"(or, if that registry is gone for good, delete the key {keys.registry})"
    )
