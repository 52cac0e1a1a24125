"""Owns what every script of a shard shares: its keys in one order, and the Lua that parses, rings and settles."""

from __future__ import annotations

from relay.rules import timing
from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import DROPPED_MS, GENERATION_AHEAD_MS, OFFLINE_MS
from relay.store.keys import Keys
from relay.store.script import Script

QUIET_MS = int(timing.MARKER_QUIET_SECONDS * 1000)
STALE_MS = int(timing.MARKER_STALE_SECONDS * 1000)
UNSETTLED_MS = int(timing.UNSETTLED_SECONDS * 1000)
PROLONGED_SECONDS = 3_600  # lifetimes are set anew so often: at each flush they would be most of what Redis writes
RUNG_MS = 60_000  # who rang is kept for so long: six times as long as a node trusts what it read

LEAVING = "leaving"  # the reason word of a record whose socket dropped, until its grace is over
_NAMES = (
    "fences", "deadlines", "offline", "places", "infos", "untold",
    "versions", "contests", "marker", "revoked", "upto", "events", "rung",
)  # fmt: skip

# One order of KEYS for all scripts of a shard, the events channel among them: a cluster checks its slot like a key's.
_SHARED = f"""
local FENCES, DEADLINES, OFFLINE, PLACES, INFOS, UNTOLD, VERSIONS, CONTESTS, MARKER, REVOKED, UPTO, EVENTS,
    RUNG = unpack(KEYS)
local OFFLINE_MS, DROPPED_MS, AHEAD_MS = {OFFLINE_MS}, {DROPPED_MS}, {GENERATION_AHEAD_MS}
local QUIET_MS, STALE_MS, UNSETTLED_MS, RUNG_MS = {QUIET_MS}, {STALE_MS}, {UNSETTLED_MS}, {RUNG_MS}
local PROLONGED, SCRIPT_IDS = {PROLONGED_SECONDS}, {SCRIPT_IDS}
local CONTESTS_MAX, CONTESTS_MS = {timing.OWNER_CHANGES}, {int(timing.OWNER_CHANGES_SECONDS * 1000)}
local CLAIM_MS, KEPT_MS = {int(timing.CLAIM_STALE_SECONDS * 1000)}, {timing.REDIS_KEPT_SECONDS * 1000}

-- "FENCE" or "FENCE REASON HEARD DEADLINE" as a table, nil for nothing.
local function parse(value)
    if not value then return nil end
    local version, generation, connection, rest = string.match(value, '^(%d+):(%d+):(%S+)(.*)$')
    local record = {{
        version = tonumber(version), generation = tonumber(generation), connection = connection,
        fence = version .. ':' .. generation .. ':' .. connection,
    }}
    local reason, heard, deadline = string.match(rest, '^ (%S+) (%d+) (%d+)$')
    if reason then
        record.reason, record.heard, record.deadline = reason, tonumber(heard), tonumber(deadline)
    end
    return record
end

local function parted(fence, reason, heard, deadline)
    return fence .. ' ' .. reason .. ' ' .. int(heard) .. ' ' .. int(deadline)
end

-- Whether one fence (a parsed record) is greater than another: by token version, then by generation.
local function newer(mine, stored)
    if mine.version ~= stored.version then return mine.version > stored.version end
    return mine.generation > stored.generation
end

-- Whether one of these keys is to be made. Where it is there it has its lifetime already, which flushes prolong.
local function missing(...) return redis.call('EXISTS', ...) < select('#', ...) end

-- changed: workspace -> list of machines. A version is never given out twice, not even after a flush, and is never
-- before the time at which it was: what rang since a version is known for as long as RUNG keeps it. Flushes trim RUNG.
local function ring(now, changed)
    if not next(changed) then return end
    local fresh = missing(VERSIONS, RUNG)
    for workspace, machines in pairs(changed) do
        local version = int(math.max(tonumber(redis.call('HGET', VERSIONS, workspace) or 0), now) + 1)
        local scored = {{}}
        for _, machine in ipairs(machines) do scored[#scored + 1], scored[#scored + 2] = version, machine end
        redis.call('HSET', VERSIONS, workspace, version)
        redis.call('ZADD', RUNG, unpack(scored))
        redis.call('SPUBLISH', EVENTS, cjson.encode({{workspace = workspace, machines = machines}}))
    end
    if fresh then keep(VERSIONS, RUNG) end
end

local function note(changed, workspace, machine)
    local machines = changed[workspace]
    if machines then machines[#machines + 1] = machine else changed[workspace] = {{machine}} end
end

-- Whether silence in this shard proves anything: somebody has been flushing it, for long enough, by this clock.
local function settled(now)
    local marker = redis.call('HMGET', MARKER, 'flushed', 'settled')
    local flushed, from = tonumber(marker[1]), tonumber(marker[2])
    return flushed ~= nil and flushed <= now and now - flushed <= QUIET_MS and now >= from
end
"""


class ShardScript(Script):
    """A script over the keys of one shard, given by `shard_keys`."""

    def __init__(self, body: str) -> None:
        super().__init__(_SHARED + body)


def shard_keys(keys: Keys, shard: int) -> tuple[str, ...]:
    """KEYS of every `ShardScript`."""
    return tuple(keys.of(shard, name) for name in _NAMES)
