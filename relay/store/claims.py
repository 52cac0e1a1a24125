"""Hands out, once each, the machines that went offline or came back, until SQL has been told of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from msgspec import Struct
from redis.asyncio import Redis

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Fence, OfflineReason
from relay.store.keys import Keys
from relay.store.records import parse
from relay.store.script import Argument, Call, run_all
from relay.store.shard import LEAVING, ShardScript, shard_keys

CALLS_AT_ONCE = 8  # scripts per pipeline: Redis serves nobody else until it has done one client's pipeline

# Makes atomic: finding what is due by Redis's clock, taking it offline as of its deadline, and ringing: so that of any
# number of sweepers one announces. Then leases the untold ones to the caller for ten seconds, whoever found them due.
_CLAIM = ShardScript(f"""
local now, limit = clock(), tonumber(ARGV[1])
if not settled(now) then return {{}} end
local live = {{}}
for at = 2, #ARGV do live[ARGV[at]] = true end

local due = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. int(now), 'WITHSCORES', 'LIMIT', 0, limit)
local ids, parts, since, untold, changed = {{}}, {{}}, {{}}, {{}}, {{}}
for at = 1, #due, 2 do ids[#ids + 1] = due[at] end
if #ids > 0 then
    local values, places = redis.call('HMGET', FENCES, unpack(ids)), redis.call('HMGET', PLACES, unpack(ids))
    for index, machine in ipairs(ids) do
        local record, deadline = parse(values[index]), tonumber(due[index * 2])
        local workspace, node = string.match(places[index] or '', '^(%S+) (%S+)$')
        if record and (not record.reason or record.reason == '{LEAVING}') then
            local reason = record.reason and 'dropped' or live[node] and 'silent' or 'node-lost'
            local value = parted(record.fence, reason, record.heard or deadline - OFFLINE_MS, deadline)
            parts[#parts + 1], parts[#parts + 2] = machine, value
            since[#since + 1], since[#since + 2] = int(deadline), machine
            untold[#untold + 1], untold[#untold + 2] = int(now), machine
            if workspace then note(changed, workspace, machine) end
        end
    end
    redis.call('ZREM', DEADLINES, unpack(ids))
    if #parts > 0 then
        redis.call('HSET', FENCES, unpack(parts))
        redis.call('ZADD', OFFLINE, unpack(since))
        redis.call('ZADD', UNTOLD, unpack(untold))
    end
    ring(now, changed)
end

local claimed, leased, gone = {{}}, {{}}, {{}}
local ready = redis.call('ZRANGEBYSCORE', UNTOLD, '-inf', int(now), 'LIMIT', 0, limit)
if #ready > 0 then
    local values, places = redis.call('HMGET', FENCES, unpack(ready)), redis.call('HMGET', PLACES, unpack(ready))
    local deadlines = redis.call('ZMSCORE', DEADLINES, unpack(ready))
    for index, machine in ipairs(ready) do
        if values[index] and places[index] then
            local at = #claimed
            claimed[at + 1], claimed[at + 2], claimed[at + 3] = machine, values[index], places[index]
            claimed[at + 4] = deadlines[index] or ''
            leased[#leased + 1], leased[#leased + 2] = int(now + CLAIM_MS), machine
        else
            gone[#gone + 1] = machine
        end
    end
    if #gone > 0 then redis.call('ZREM', UNTOLD, unpack(gone)) end
    if #leased > 0 then redis.call('ZADD', UNTOLD, unpack(leased)) end
end
keep(FENCES, OFFLINE, UNTOLD)
return claimed
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
    """The sweepers' side of presence. Any number of sweepers may use it at once. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(self, shards: Collection[int], limit: int, live: Collection[str]) -> list[Claimed]:
        """Mark machines offline whose deadline passed (ringing for each exactly once, whoever calls) and take at most
        `limit` untold ones per shard for 10 s. Nothing from unsettled shards. `live` are the boots with a lease."""
        assert limit <= SCRIPT_IDS
        calls = (Call(_CLAIM, shard_keys(self._keys, shard), [limit, *live]) for shard in shards)
        claimed: list[Claimed] = []
        while batch := list(islice(calls, CALLS_AT_ONCE)):
            for answer in await run_all(self._redis, batch):
                claimed += (_claimed(*answer[at : at + 4]) for at in range(0, len(answer), 4))
        return claimed

    async def confirm(self, claimed: Sequence[Claimed]) -> None:
        """SQL has committed these; a machine whose record changed since is claimed again."""
        pairs = [(each.workspace, (each.machine, each.value)) for each in claimed]
        await run_all(self._redis, list(self._batches(_CONFIRM, pairs)))

    async def retire(self, shards: Collection[int], limit: int) -> int:
        """Forget at most `limit` machines per shard that have been offline for two days; how many went."""
        assert limit <= SCRIPT_IDS
        calls = [Call(_RETIRE, shard_keys(self._keys, shard), [limit]) for shard in shards]
        return sum(await run_all(self._redis, calls))

    async def absent(self, workspace_machines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those (workspace, machine) whose shard is settled and holds no record of them: nobody holds their socket."""
        singles = [(workspace, (machine,)) for workspace, machine in workspace_machines]
        missing: set[str] = set()
        for answer in await run_all(self._redis, list(self._batches(_ABSENT, singles))):
            missing.update(answer)
        return [pair for pair in workspace_machines if pair[1] in missing]

    def _batches(self, script: ShardScript, items: Sequence[tuple[str, tuple[Argument, ...]]]) -> Iterator[Call]:
        by_shard: dict[int, list[tuple[Argument, ...]]] = {}
        for workspace, arguments in items:
            by_shard.setdefault(self._keys.shard(workspace), []).append(arguments)
        for shard, mine in by_shard.items():
            for start in range(0, len(mine), SCRIPT_IDS):
                batch = mine[start : start + SCRIPT_IDS]
                yield Call(script, shard_keys(self._keys, shard), [word for words in batch for word in words])


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
