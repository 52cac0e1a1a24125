"""Mirrors the ids of revoked machines from SQL, so that handshakes and beats are checked without it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence

from relay.errors import Unavailable
from relay.rules.limits import SCRIPT_IDS
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory, ask_all, each_server
from relay.store.script import Call, Script, run_all

LOADED_AT_ONCE = 16  # shards in one pipeline: few have more than some revoked machines
LOADS = 3  # a load that Redis lost in its middle starts over this often; then Redis is in trouble
_MIRROR = ("revoked", "upto")

_RAISE = """
local function raise(upto)
    local stored = tonumber(redis.call('GET', UPTO))
    if not stored or stored < upto then redis.call('SET', UPTO, int(upto)) end
end
"""

# Makes atomic: ids and the number that says they are complete. A long load comes in parts that count themselves in a
# key beside it, so that a flush or failover between two parts is noticed, and `upto` is written with the last.
_LOAD = Script(f"""
local REVOKED, UPTO, LOADING = unpack(KEYS)
{_RAISE}
local part, parts, upto = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if tonumber(redis.call('GET', LOADING) or '0') ~= part - 1 then return 0 end
if #ARGV > 3 then redis.call('SADD', REVOKED, unpack(ARGV, 4)) end
if part < parts then
    redis.call('SET', LOADING, part, 'EX', KEPT)
else
    redis.call('DEL', LOADING)
    raise(upto)
end
keep(REVOKED, UPTO)
return 1
""")

# Makes atomic: the check that the mirror is complete to `since`, the ids of the changes after it, and the new number.
_FOLLOW = Script(f"""
local REVOKED, UPTO = unpack(KEYS)
{_RAISE}
local since, upto = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = tonumber(redis.call('GET', UPTO))
if not stored or stored < since then return 0 end
if #ARGV > 2 then redis.call('SADD', REVOKED, unpack(ARGV, 3)) end
raise(upto)
keep(REVOKED, UPTO)
return 1
""")

# Makes atomic: the id and the lifetime of the set that it may be the first of.
_ADD = Script("""
redis.call('SADD', KEYS[1], ARGV[1])
keep(KEYS[1])
""")


class Revocations:
    """The mirror: per shard a set that only grows and `upto`, the change number to which it is complete. Methods raise
    `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def load(self, shard: int, machines: Iterable[str], upto: int) -> None:
        """Add *all* revoked machines of the shard as SQL knows them up to change `upto`; never removes one."""
        ids = list(machines)
        for _ in range(LOADS):
            if await self._load(shard, ids, upto):
                return
        raise Unavailable("the relay's memory (Redis) keeps losing what it is told")

    async def load_all(self, revoked: Mapping[int, Sequence[str]], upto: int) -> frozenset[int]:
        """The same for every shard, in few round trips: a Redis that was emptied lacks all of them, and hellos wait.
        The shards that are away."""
        token = secrets.token_hex(8)

        async def load(shards: Sequence[int]) -> None:
            small = [shard for shard in shards if len(revoked.get(shard, ())) <= SCRIPT_IDS]
            keys = {shard: (*self._mirror(shard), self._keys.loading(shard, token)) for shard in small}
            calls = [Call(_LOAD, keys[shard], (1, 1, upto, *revoked.get(shard, ()))) for shard in small]
            for start in range(0, len(calls), LOADED_AT_ONCE):
                await run_all(self._redis, calls[start : start + LOADED_AT_ONCE])
            for shard in set(shards).difference(small):
                await self.load(shard, revoked[shard], upto)

        return await each_server(self._redis, self._keys, self._keys.shards, load)

    async def add(self, workspace: str, machine: str, number: int) -> None:
        """Add one machine at once, right after its revocation (change `number`) is committed; `upto` does not move,
        because changes before `number` may not be here yet."""
        del number  # asked for so that a caller cannot forget to commit first: there is no number before that
        await _ADD.run(self._redis, self._mirror(self._keys.shard(workspace))[:1], (machine,))

    async def follow(self, since: int, upto: int, revoked: Sequence[tuple[str, str]]) -> list[int]:
        """Extend every shard that is complete to `since` by the (workspace, machine) revoked in changes since+1..upto;
        the shards that were not, which need `load`. A node's tail calls it whenever its cursor moves."""
        by_shard: dict[int, list[str]] = {shard: [] for shard in self._keys.shards}
        for workspace, machine in revoked:
            by_shard[self._keys.shard(workspace)].append(machine)
        small = {shard: ids for shard, ids in by_shard.items() if len(ids) <= SCRIPT_IDS}
        calls = [Call(_FOLLOW, self._mirror(shard), [since, upto, *ids]) for shard, ids in small.items()]
        answers = await run_all(self._redis, calls)
        extended = {shard for shard, answer in zip(small, answers, strict=True) if answer == 1}
        return [shard for shard in by_shard if shard not in extended]

    async def upto(self, shard: int) -> int | None:
        """To which change number the shard's mirror is complete; None when it was lost."""
        found = await ask(self._redis, "GET", self._keys.of(shard, "upto"))
        return None if found is None else int(found)

    async def highest(self) -> int:
        """The highest change number that any shard's mirror was complete to, 0 if all of it was lost."""
        found = [await self.upto(shard) for shard in self._keys.shards]
        return max(upto or 0 for upto in found)

    async def behind(self, upto: int) -> list[int]:
        """The shards whose mirror is there and not complete up to this change: after a failover, to a server that had
        not heard of it yet."""
        found: list[int] = []

        async def look(shards: Sequence[int]) -> None:
            answers = await ask_all(self._redis, [("GET", self._keys.of(shard, "upto")) for shard in shards])
            found.extend(
                shard
                for shard, stored in zip(shards, answers, strict=True)
                if stored is not None and int(stored) < upto
            )

        await each_server(self._redis, self._keys, self._keys.shards, look)
        return found

    async def holds(self, workspace: str, machine: str) -> bool:
        """Whether the mirror says that the machine is revoked."""
        key = self._keys.of(self._keys.shard(workspace), "revoked")
        return bool(await ask(self._redis, "SISMEMBER", key, machine))

    async def among(self, machines: Iterable[tuple[str, str]]) -> set[str]:
        """Those of these (workspace, machine) that the mirror says are revoked; what it lost it cannot say."""
        by_shard: dict[int, list[str]] = {}
        for workspace, machine in machines:
            by_shard.setdefault(self._keys.shard(workspace), []).append(machine)
        found: set[str] = set()
        for shard, ids in by_shard.items():
            for start in range(0, len(ids), SCRIPT_IDS):
                asked = ids[start : start + SCRIPT_IDS]
                held = await ask(self._redis, "SMISMEMBER", self._keys.of(shard, "revoked"), *asked)
                found.update(machine for machine, is_held in zip(asked, held, strict=True) if is_held)
        return found

    async def _load(self, shard: int, ids: list[str], upto: int) -> bool:
        keys = (*self._mirror(shard), self._keys.loading(shard, secrets.token_hex(8)))
        parts = max(1, -(-len(ids) // SCRIPT_IDS))
        for part in range(1, parts + 1):
            mine = ids[(part - 1) * SCRIPT_IDS : part * SCRIPT_IDS]
            if not await _LOAD.run(self._redis, keys, (part, parts, upto, *mine)):
                return False
        return True

    def _mirror(self, shard: int) -> tuple[str, ...]:
        return tuple(self._keys.of(shard, name) for name in _MIRROR)
