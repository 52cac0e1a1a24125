"""Refreshes deadlines in batches, and puts machines back that Redis forgot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, NamedTuple, cast

from msgspec import Struct

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Fence, Info
from relay.store.keys import SHARDS, Keys
from relay.store.memory import Memory, each_server
from relay.store.records import encode_info
from relay.store.script import Argument, Call, run_all
from relay.store.shard import ShardScript, shard_keys

CALLS_AT_ONCE = 4  # scripts per pipeline: packing and sending one keeps the loop for about a millisecond
UNCHECKED = -1  # instead of a change number: whoever was revoked is no longer on this node, as far as it knows
REANNOUNCED_AT_ONCE = 250  # half of SCRIPT_IDS: each carries a whole description

# Makes atomic: comparing each fence and moving its deadline, with the shard's marker that says silence is watched.
# Where nobody could flush for a while, nobody could say hello: whose socket had dropped has a whole grace from now on.
# A record that equals the beat's fence is connected and owned by it; everything else is rare and looked at closely.
_BEAT = ShardScript("""
local now = clock()
local marker = redis.call('HMGET', MARKER, 'flushed', 'settled')
local flushed, from = tonumber(marker[1]), tonumber(marker[2])
if not flushed or not from or flushed > now or now - flushed > STALE_MS then
    from = now + UNSETTLED_MS
elseif now - flushed > QUIET_MS then
    from = math.max(from, now + DROPPED_MS)
end
redis.call('HSET', MARKER, 'flushed', int(now), 'settled', int(from), 'by', ARGV[1])
if redis.call('TTL', MARKER) <= KEPT - PROLONGED then
    keep(FENCES, DEADLINES, OFFLINE, PLACES, INFOS, UNTOLD, VERSIONS, CONTESTS, MARKER, REVOKED, UPTO, RUNG)
end
local old = redis.call('ZCOUNT', RUNG, '-inf', '(' .. int(now - RUNG_MS))
if old > 0 then redis.call('ZREMRANGEBYRANK', RUNG, 0, math.min(old, SCRIPT_IDS) - 1) end
if #ARGV == 1 then return {} end

local ids = {}
for at = 2, #ARGV, 3 do ids[#ids + 1] = ARGV[at] end
local stored = redis.call('HMGET', FENCES, unpack(ids))
local revoked = redis.call('SMISMEMBER', REVOKED, unpack(ids))
local due, lost, back, changed = {}, {}, {}, {}
local function lose(machine, reason, fence)
    lost[#lost + 1], lost[#lost + 2], lost[#lost + 3] = machine, reason, fence
end
for index, machine in ipairs(ids) do
    local fence, deadline = ARGV[index * 3], now - ARGV[index * 3 + 1] + OFFLINE_MS
    if revoked[index] == 1 then
        lose(machine, 'revoked', fence)
    elseif stored[index] == fence then
        due[#due + 1], due[#due + 2] = deadline, machine
    else
        local mine, theirs = parse(fence), parse(stored[index])
        if not theirs or newer(mine, theirs) then
            lose(machine, 'unknown', fence)
        elseif theirs.fence ~= fence then
            lose(machine, 'replaced', theirs.fence)
        elseif theirs.reason == 'silent' or theirs.reason == 'node-lost' then
            if deadline >= now then
                due[#due + 1], due[#due + 2], back[#back + 1] = deadline, machine, machine
                redis.call('HSET', FENCES, machine, fence)
            end
        elseif theirs.reason ~= 'closed' then
            lose(machine, 'unknown', fence)
        end
    end
end
if #due > 0 then
    local fresh = missing(DEADLINES)
    redis.call('ZADD', DEADLINES, unpack(due))
    if fresh then keep(DEADLINES) end
end
if #back > 0 then
    local places = redis.call('HMGET', PLACES, unpack(back))
    redis.call('ZREM', OFFLINE, unpack(back))
    for index, machine in ipairs(back) do
        redis.call('ZADD', UNTOLD, int(now), machine)
        if places[index] then note(changed, string.match(places[index], '^%S+'), machine) end
    end
    ring(now, changed)
    keep(UNTOLD)
end
return lost
""")

# Makes atomic: the revocation check against a complete mirror, and adopting each connection that is not older than
# what is stored. A goodbye is final for its connection, so such a one is passed over.
_REANNOUNCE = ShardScript("""
local node, cursor = ARGV[1], tonumber(ARGV[2])
local upto = tonumber(redis.call('GET', UPTO))
if cursor >= 0 and (not upto or upto < cursor) then return {'mirror-behind'} end
local now = clock()
local ids = {}
for at = 3, #ARGV, 5 do ids[#ids + 1] = ARGV[at] end
local stored = redis.call('HMGET', FENCES, unpack(ids))
local revoked = redis.call('SMISMEMBER', REVOKED, unpack(ids))
local offline = redis.call('ZMSCORE', OFFLINE, unpack(ids))
local lost, fences, due, places, infos, untold, back, changed = {}, {}, {}, {}, {}, {}, {}, {}
local function add(list, first, second) list[#list + 1], list[#list + 2] = first, second end
for index, machine in ipairs(ids) do
    local workspace, fence, age, info = unpack(ARGV, index * 5 - 1, index * 5 + 2)
    local mine, theirs = parse(fence), parse(stored[index])
    local same = theirs and theirs.fence == fence
    if revoked[index] == 1 then
        lost[#lost + 1], lost[#lost + 2], lost[#lost + 3] = machine, 'revoked', fence
    elseif theirs and not same and not newer(mine, theirs) then
        lost[#lost + 1], lost[#lost + 2], lost[#lost + 3] = machine, 'replaced', theirs.fence
    elseif not (same and theirs.reason == 'closed') then
        add(fences, machine, fence)
        add(due, int(now - age + OFFLINE_MS), machine)
        add(places, machine, workspace .. ' ' .. node)
        add(infos, machine, info)
        if offline[index] then back[#back + 1] = machine end
        if offline[index] or not theirs then add(untold, int(now), machine) end
        note(changed, workspace, machine)
    end
end
if #fences > 0 then
    redis.call('HSET', FENCES, unpack(fences))
    redis.call('ZADD', DEADLINES, unpack(due))
    redis.call('HSET', PLACES, unpack(places))
    redis.call('HSET', INFOS, unpack(infos))
end
if #back > 0 then redis.call('ZREM', OFFLINE, unpack(back)) end
if #untold > 0 then redis.call('ZADD', UNTOLD, unpack(untold)) end
ring(now, changed)
keep(FENCES, DEADLINES, PLACES, INFOS, UNTOLD)
return lost
""")


class Beat(NamedTuple):
    """A machine was heard `age_ms` ago (by a monotonic clock) on this connection."""

    workspace: str
    machine: str
    fence: Fence
    age_ms: int


class Reannouncement(NamedTuple):
    """A beat with all that Redis should know of the machine, after it said `unknown`."""

    workspace: str
    machine: str
    fence: Fence
    age_ms: int
    info: Info


LostReason = Literal["unknown", "revoked", "replaced", "mirror-behind"]


class Lost(Struct, frozen=True):
    """A beat that was not taken. `unknown`: re-announce if the connection is still here; `mirror-behind` (of
    re-announcements only): load the shard's revocations first; `revoked` and `replaced`: close it."""

    workspace: str
    machine: str
    reason: LostReason
    fence: Fence  # the stored one for `replaced`, else the beat's own


class Flushed(NamedTuple):
    """What became of a flush: which beats were not taken, and which shards are away and know of none."""

    lost: list[Lost]
    away: frozenset[int]


async def beat(redis: Memory, keys: Keys, node: str, beats: Iterable[Beat]) -> Flushed:
    """Send each shard its beats, and every other shard an empty batch that moves its marker; raises `Unavailable` when
    no server is there. Each beat is taken and let go: fifty thousand that are kept make the collector look at
    everything there is, again and again."""
    arguments: list[list[Argument]] = [[] for _ in range(SHARDS)]
    shards: dict[str, list[Argument]] = {}  # those of the workspaces that were met
    workspaces = {}
    for position, (workspace, machine, fence, age_ms) in enumerate(beats, 1):
        mine = shards.get(workspace)
        if mine is None:
            mine = shards[workspace] = arguments[keys.shard(workspace)]
        mine += (machine, fence.text, age_ms)
        workspaces[machine] = workspace
        if position % SCRIPT_IDS == 0:
            await asyncio.sleep(0)  # fifty thousand beats take a while to sort
    step = SCRIPT_IDS * 3
    lost: list[Lost] = []

    async def send(shards: Sequence[int]) -> None:
        calls = (
            Call(_BEAT, shard_keys(keys, shard), [node, *arguments[shard][start : start + step]])
            for shard in shards
            for start in range(0, max(len(arguments[shard]), 1), step)
        )
        while batch := list(islice(calls, CALLS_AT_ONCE)):
            for answer in await run_all(redis, batch):
                lost.extend(_lost(answer, workspaces))
            await asyncio.sleep(0)  # answers that arrived together are read without a pause of their own

    return Flushed(lost, await each_server(redis, keys, range(SHARDS), send))


async def reannounce(
    redis: Memory, keys: Keys, node: str, revocations_upto: int, machines: Sequence[Reannouncement]
) -> list[Lost]:
    """Send each shard that is there its machines; raises `Unavailable` when none is. A node that cannot ask the
    registry whom the mirror lacks says `UNCHECKED`: who is connected may stay, and nobody is let in for it."""
    by_shard: dict[int, list[Reannouncement]] = {}
    for machine in machines:
        by_shard.setdefault(keys.shard(machine.workspace), []).append(machine)
    lost: list[Lost] = []

    async def send(shards: Sequence[int]) -> None:
        for shard in shards:
            mine = by_shard[shard]
            for start in range(0, len(mine), REANNOUNCED_AT_ONCE):
                batch = mine[start : start + REANNOUNCED_AT_ONCE]
                arguments: list[Argument] = [node, revocations_upto]
                for workspace, machine_id, fence, age_ms, info in batch:
                    arguments += (machine_id, workspace, fence.text, age_ms, encode_info(info))
                answer = (await run_all(redis, [Call(_REANNOUNCE, shard_keys(keys, shard), arguments)]))[0]
                if answer == ["mirror-behind"]:
                    lost.extend(Lost(each.workspace, each.machine, "mirror-behind", each.fence) for each in batch)
                else:
                    lost.extend(_lost(answer, {each.machine: each.workspace for each in batch}))

    await each_server(redis, keys, by_shard, send)
    return lost


def _lost(answer: list[str], workspaces: dict[str, str]) -> list[Lost]:
    found = []
    for at in range(0, len(answer), 3):
        machine, reason, fence = answer[at : at + 3]
        found.append(Lost(workspaces[machine], machine, cast(LostReason, reason), Fence.parse(fence)))
    return found
