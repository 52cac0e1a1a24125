"""Remembers how a cluster's Redis is divided, on each of its servers, so that nodes with different lists never meet."""

from __future__ import annotations

from relay.errors import Misconfigured
from relay.rules.timing import LEASE_SECONDS
from relay.store.connection import Commands
from relay.store.division import Division
from relay.store.keys import Keys
from relay.store.memory import Memory, independent, some
from relay.store.script import Script
from relay.store.sharded import Sharded

LAYOUT_MS = int(LEASE_SECONDS * 1000)  # as long as the last node's lease: then another division may begin
ONE = "one"  # server, set with sentinels, or Cluster: whatever divides it by itself

# Makes atomic: reading which division a server is part of, and being the first to say so, or saying it again.
_HOLD = Script("""
local theirs = redis.call('GET', KEYS[1])
if not theirs or theirs == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    theirs = ARGV[1]
end
return theirs
""")


async def hold(memory: Memory, keys: Keys) -> None:
    """Say on every server how Redis is divided here, to be said again before a lease ends. Raises `Misconfigured` if a
    server is part of another division, and `Unavailable` when none can be reached."""
    mine = _text(memory)
    for theirs in await some(_hold(each, keys, mine) for each in independent(memory)):
        if theirs != mine:
            raise Misconfigured(
                f"RELAY_REDIS_URL names {_named(mine)} here and {_named(theirs)} in the cluster that is running; stop "
                f"all nodes and sweepers for {LEASE_SECONDS:g} s and start them with one list"
            )


async def _hold(server: Commands, keys: Keys, mine: str) -> str:
    return str(await _HOLD.run(server, (keys.layout,), (mine, LAYOUT_MS)))


def _text(memory: Memory) -> str:
    return memory.slots.text if isinstance(memory, Sharded) and isinstance(memory.slots, Division) else ONE


def _named(text: str) -> str:
    return "one Redis" if text == ONE else f"the shards {text}"
