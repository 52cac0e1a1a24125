"""Hands out, once each, the machines that went offline or came back, until SQL has been told of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from relay.errors import Unavailable
from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Fence, OfflineReason
from relay.store.keys import Keys
from relay.store.memory import Memory, each_server
from relay.store.promptness import NEVER, Promptness
from relay.store.records import parse
from relay.store.script import Argument, Call, run_all
from relay.store.shard import LEAVING, ShardScript, shard_keys

CLAIMED_IDS = 50  # machines per call at 15 to 20 µs of Redis each: nobody else waits for more than a millisecond
RETIRED_IDS = 100  # per call, at 4 µs of Redis each
LOOKS_AT_ONCE = 16  # calls that do nothing
CALLS_AT_ONCE = 2  # scripts per pipeline: Redis serves nobody else until it has done one client's pipeline

# Makes atomic: finding what is due by Redis's clock, taking it offline as of its deadline, and ringing: so that of any
# number of sweepers one announces. Leases these to the caller for ten seconds, and fills up with whom others found due
# and did not confirm. What follows per machine is what a mass outage costs: no pattern where plain text will do.
# Nothing is done too late: a Redis that stood still carries out what was asked meanwhile before nodes can say whom they
# turned away.
_CLAIM = ShardScript(f"""
local now, limit = clock(), tonumber(ARGV[1])
if now > tonumber(ARGV[2]) then return {{now}} end
if not settled(now) then return {{now, {{}}}} end
local live, placed = {{}}, {{}}
for at = 3, #ARGV do live[ARGV[at]] = true end
local function place_of(text)
    local place = placed[text]
    if not place then
        local workspace, node = string.match(text, '^(%S+) (%S+)$')
        place = {{workspace = workspace, silent = live[node] and 'silent' or 'node-lost'}}
        placed[text] = place
    end
    return place
end
local lease, claimed, told = int(now + CLAIM_MS), {{}}, 0
local function take(machine, value, place, deadline)
    claimed[told + 1], claimed[told + 2], claimed[told + 3], claimed[told + 4] = machine, value, place, deadline
    told = told + 4
end

local due = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. int(now), 'WITHSCORES', 'LIMIT', 0, limit)
if #due > 0 then
    local ids, parts, since, untold, changed, size = {{}}, {{}}, {{}}, {{}}, {{}}, 0
    for at = 1, #due, 2 do ids[(at + 1) / 2] = due[at] end
    local values, places = redis.call('HMGET', FENCES, unpack(ids)), redis.call('HMGET', PLACES, unpack(ids))
    for index, machine in ipairs(ids) do
        local fence, deadline, place, heard, reason = values[index], due[index * 2], place_of(places[index] or '')
        if fence and string.find(fence, ' ', 1, true) then
            fence, heard = string.match(fence, '^(%S+) {LEAVING} (%d+) %d+$')
            reason = 'dropped'
        elseif fence then
            heard, reason = int(deadline - OFFLINE_MS), place.silent
        end
        if fence then
            local value = fence .. ' ' .. reason .. ' ' .. heard .. ' ' .. deadline
            parts[size + 1], parts[size + 2] = machine, value
            since[size + 1], since[size + 2] = deadline, machine
            untold[size + 1], untold[size + 2] = lease, machine
            size = size + 2
            if place.workspace then note(changed, place.workspace, machine) end
            if places[index] then take(machine, value, places[index], '') end
        end
    end
    redis.call('ZREM', DEADLINES, unpack(ids))
    if size > 0 then
        local fresh = missing(OFFLINE, UNTOLD)
        redis.call('HSET', FENCES, unpack(parts))
        redis.call('ZADD', OFFLINE, unpack(since))
        redis.call('ZADD', UNTOLD, unpack(untold))
        if fresh then keep(OFFLINE, UNTOLD) end
    end
    ring(now, changed)
end

limit = limit - told / 4
local ready = limit > 0 and redis.call('ZRANGEBYSCORE', UNTOLD, '-inf', int(now), 'LIMIT', 0, limit) or {{}}
if #ready > 0 then
    local leased, gone = {{}}, {{}}
    local values, places = redis.call('HMGET', FENCES, unpack(ready)), redis.call('HMGET', PLACES, unpack(ready))
    local deadlines = redis.call('ZMSCORE', DEADLINES, unpack(ready))
    for index, machine in ipairs(ready) do
        if values[index] and places[index] then
            take(machine, values[index], places[index], deadlines[index] or '')
            leased[#leased + 1], leased[#leased + 2] = lease, machine
        else
            gone[#gone + 1] = machine
        end
    end
    if #gone > 0 then redis.call('ZREM', UNTOLD, unpack(gone)) end
    if #leased > 0 then redis.call('ZADD', UNTOLD, unpack(leased)) end
end
return {{now, claimed}}
""")

# Makes atomic: comparing each record with what SQL was told, and striking it off the list. One that changed since is
# put at the list's front again, also when somebody else struck it off meanwhile: SQL may have heard the older last.
_CONFIRM = ShardScript("""
local now, ids, told, again = clock(), {}, {}, {}
for at = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[at] end
local values = redis.call('HMGET', FENCES, unpack(ids))
for index, machine in ipairs(ids) do
    if not values[index] or values[index] == ARGV[index * 2] then
        told[#told + 1] = machine
    else
        again[#again + 1], again[#again + 2] = int(now), machine
    end
end
if #told > 0 then redis.call('ZREM', UNTOLD, unpack(told)) end
if #again > 0 then redis.call('ZADD', UNTOLD, unpack(again)) end
keep(UNTOLD)
""")

# Makes atomic: forgetting a machine wholly or not at all. Its fence is not needed any more: two days on, Redis's clock
# alone mints greater generations.
_RETIRE = ShardScript("""
local old = redis.call('ZRANGEBYSCORE', OFFLINE, '-inf', int(clock() - KEPT_MS), 'LIMIT', 0, ARGV[1])
if #old > 0 then
    for _, key in ipairs({FENCES, PLACES, INFOS, CONTESTS}) do redis.call('HDEL', key, unpack(old)) end
    for _, key in ipairs({OFFLINE, UNTOLD}) do redis.call('ZREM', key, unpack(old)) end
end
return #old
""")

# Makes atomic: the absence of a record together with the proof that absence means something.
_ABSENT = ShardScript("""
local absent = {}
if not settled(clock()) then return absent end
local values = redis.call('HMGET', FENCES, unpack(ARGV))
for index, machine in ipairs(ARGV) do
    if not values[index] then absent[#absent + 1] = machine end
end
return absent
""")


class Claimed(Struct, frozen=True, kw_only=True):
    """What SQL is to be told of one machine. `reason` None: it is online, forget why it was not."""

    workspace: str
    machine: str
    fence: Fence
    heard_ms: int
    reason: OfflineReason | None
    offline_ms: int | None  # the deadline, not the moment of noticing
    value: str  # the record as Redis held it; `confirm` compares


class Claims:
    """The sweepers' side of presence. Any number of sweepers may use it at once. Shards that are away wait, and keep
    nobody from the others; methods raise `Unavailable` when none is there."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._promptness = Promptness()

    async def claim(self, shards: Collection[int], limit: int, live: Collection[str]) -> list[Claimed]:
        """Mark machines offline whose deadline passed (ringing for each exactly once, whoever calls) and take at most
        `limit` untold ones per shard for 10 s, in short calls. Nothing from unsettled shards, nor from those that were
        away until a moment ago: nodes are first to say whom they turned away. `live` are the boots with a lease."""
        claimed: list[Claimed] = []

        async def claim(mine: Sequence[int]) -> None:
            waiting = deque((shard, limit) for shard in mine)
            while waiting:
                batch = [waiting.popleft() for _ in range(min(CALLS_AT_ONCE, len(waiting)))]
                for (shard, left), found in zip(batch, await self._take(batch, live), strict=True):
                    if found is None:
                        waiting.append((shard, left))
                        continue
                    claimed.extend(found)
                    if len(found) == CLAIMED_IDS < left:
                        waiting.append((shard, left - CLAIMED_IDS))  # behind the others: none waits for a fuller one

        try:
            await self._each_server(shards, claim)
        except Unavailable:
            if not claimed:
                raise
        return claimed  # also by a server that has gone since: they are offline, and somebody has to tell

    async def look(self, shards: Collection[int]) -> None:
        """Find out which shards' servers answer, and take nobody. To be called before each `claim`, whatever else is
        asked in between. Raises `Unavailable` when none does."""

        async def look(mine: Sequence[int]) -> None:
            for at in range(0, len(mine), LOOKS_AT_ONCE):
                await self._take([(shard, 0) for shard in mine[at : at + LOOKS_AT_ONCE]], ())

        await self._each_server(shards, look)

    async def _each_server(self, shards: Collection[int], work: Callable[[Sequence[int]], Awaitable[None]]) -> None:
        try:
            self._promptness.lost(await each_server(self._redis, self._keys, shards, work))
        except Unavailable:
            self._promptness.lost(shards)
            raise

    async def _take(self, batch: Sequence[tuple[int, int]], live: Collection[str]) -> list[list[Claimed] | None]:
        """One call for each (shard, limit); None where it is to be asked again. Raises `Unavailable`."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        calls = [
            Call(
                _CLAIM,
                shard_keys(self._keys, shard),
                [min(left, CLAIMED_IDS), self._promptness.until_ms(shard, asked) if left else NEVER, *live],
            )
            for shard, left in batch
        ]
        answers = await run_all(self._redis, calls)
        taken: list[list[Claimed] | None] = []
        for (shard, _), (server_ms, *found) in zip(batch, answers, strict=True):
            again = self._promptness.answered(shard, asked, clock(), server_ms)
            words = found[0] if found else ()
            taken.append(
                None if again and not found else [_claimed(*words[at : at + 4]) for at in range(0, len(words), 4)]
            )
        return taken

    async def confirm(self, claimed: Sequence[Claimed]) -> None:
        """SQL has committed these; a machine whose record changed since is claimed again."""
        await self._run(_CONFIRM, [(each.workspace, (each.machine, each.value)) for each in claimed])

    async def retire(self, shards: Collection[int], limit: int) -> int:
        """Forget at most `limit` machines per shard that have been offline for two days, in one short call for each;
        how many went. Call again until none did."""
        ids = min(limit, RETIRED_IDS)
        retired: list[int] = []

        async def retire(mine: Sequence[int]) -> None:
            calls = (Call(_RETIRE, shard_keys(self._keys, shard), [ids]) for shard in mine)
            while batch := list(islice(calls, CALLS_AT_ONCE)):
                retired.extend(await run_all(self._redis, batch))

        await each_server(self._redis, self._keys, shards, retire)
        return sum(retired)

    async def absent(self, workspace_machines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those (workspace, machine) whose shard is settled and holds no record of them: nobody holds their socket."""
        answers = await self._run(_ABSENT, [(workspace, (machine,)) for workspace, machine in workspace_machines])
        missing = {machine for answer in answers for machine in answer}
        return [pair for pair in workspace_machines if pair[1] in missing]

    async def _run(self, script: ShardScript, items: Sequence[tuple[str, tuple[Argument, ...]]]) -> list[Any]:
        """The answers of the shards that are there, each to the arguments of its workspaces."""
        by_shard: dict[int, list[tuple[Argument, ...]]] = {}
        for workspace, arguments in items:
            by_shard.setdefault(self._keys.shard(workspace), []).append(arguments)
        answers: list[Any] = []

        async def run(mine: Sequence[int]) -> None:
            calls = []
            for shard in mine:
                for start in range(0, len(by_shard[shard]), SCRIPT_IDS):
                    batch = by_shard[shard][start : start + SCRIPT_IDS]
                    calls.append(
                        Call(script, shard_keys(self._keys, shard), [word for words in batch for word in words])
                    )
            answers.extend(await run_all(self._redis, calls))

        await each_server(self._redis, self._keys, by_shard, run)
        return answers


def _claimed(machine: str, value: str, place: str, deadline: str) -> Claimed:
    record = parse(machine, value, place, None).record(int(deadline or 0))
    return Claimed(
        workspace=place.partition(" ")[0],
        machine=machine,
        fence=record.fence,
        heard_ms=record.heard_ms,
        reason=record.reason,
        offline_ms=None if record.reason is None else record.deadline_ms,
        value=value,
    )
