"""Remembers which registry the keys under a prefix belong to, so that two clusters never share them by mistake.

Each server that knows nothing of the others is told, so that one that is away keeps nobody from starting."""

from __future__ import annotations

from relay.errors import Misconfigured
from relay.store.connection import Commands, ask
from relay.store.keys import Keys
from relay.store.memory import Memory, independent, one_then_all, some
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
    found = await one_then_all(
        independent(redis), lambda server: _claim(server, keys, registry), lambda theirs: theirs == registry
    )
    return _other(found, registry)


async def holder(redis: Memory, keys: Keys) -> str | None:
    """The registry whose keys these are, if anybody said; raises `Unavailable`."""
    found = await some(ask(server, "GET", keys.registry) for server in independent(redis))
    return next((str(each) for each in found if each is not None), None)


async def belong(redis: Memory, keys: Keys, registry: str) -> None:
    """Be of the cluster whose keys these are. Raises `Misconfigured` if that is another's, `Unavailable`."""
    found = await claim(redis, keys, registry)
    if found != registry:
        raise Misconfigured(refusal(keys, registry, found))


async def stay(redis: Memory, keys: Keys, registry: str) -> None:
    """Say again that one is, to servers that forgot it too; raises as `belong` does."""
    found = await some(_claim(server, keys, registry) for server in independent(redis))
    if _other(found, registry) != registry:
        raise Misconfigured(refusal(keys, registry, _other(found, registry)))


async def _claim(server: Commands, keys: Keys, registry: str) -> str:
    return str(await _CLAIM.run(server, (keys.registry,), (registry,)))


def _other(found: list[str], registry: str) -> str:
    return next((theirs for theirs in found if theirs != registry), registry)


def refusal(keys: Keys, here: str, there: str) -> str:
    """What an operator is told who gave two clusters one prefix."""
    return (
        f"another cluster uses this Redis under the prefix {keys.prefix!r}: its registry is "
        f"{there[:SHORT_CHARACTERS]}, and RELAY_DATABASE_URL names {here[:SHORT_CHARACTERS]}; "
        "give one of them a RELAY_REDIS_PREFIX of its own "
        f"(or, if that registry is gone for good, delete the key {keys.registry})"
    )
