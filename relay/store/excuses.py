"""Gives machines their grace again in shards that turned them away, because Redis did not answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from relay.store.keys import Keys
from relay.store.memory import Memory, each_server
from relay.store.script import Call, run_all
from relay.store.shard import ShardScript, shard_keys

# Makes atomic: looking since when silence proves something, and moving that to a whole grace from now. Not again
# before it has proved something for a round: a node that loses Redis every few seconds keeps nobody online for ever.
_EXCUSE = ShardScript("""
local now, from = clock(), tonumber(redis.call('HGET', MARKER, 'settled'))
if from and now - from >= UNSETTLED_MS then redis.call('HSET', MARKER, 'settled', int(now + DROPPED_MS)) end
""")


async def excuse(redis: Memory, keys: Keys, shards: Collection[int]) -> frozenset[int]:
    """Let silence in these shards prove nothing for a grace; those that are away and were not told. Raises
    `Unavailable` when all are."""

    async def tell(mine: Sequence[int]) -> None:
        await run_all(redis, [Call(_EXCUSE, shard_keys(keys, shard), []) for shard in mine])

    return await each_server(redis, keys, shards, tell)
