"""Takes machines for new connections, each under a generation that nobody held before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from relay.errors import Unavailable
from relay.rules.presence import Fence, Info
from relay.store.connection import ANSWER_SECONDS
from relay.store.keys import Keys
from relay.store.records import encode_info
from relay.store.script import Commands
from relay.store.shard import ShardScript, shard_keys

HELLOS_PER_SCRIPT = 64  # about two milliseconds of Redis, in which it answers nobody else
FOREVER_MS = 1 << 52  # as far as numbers of Lua are whole: before the first answer nobody knows what time it is there
TAKEN_SECONDS = ANSWER_SECONDS - 0.25  # after it was said; its answer has to arrive while somebody waits
ATTEMPTS = 2  # Redis's clock may be another one than it was, as after a failover; the first answer says which

# Makes atomic: the revocation check against a complete mirror, the comparison with whoever owns the machine, and the
# taking of it under a greater generation. So of two hellos at once exactly one ends up owning, and it knows the other.
# Many hellos in one call, each as if it were alone: what a script costs before its first command is most of one hello.
# None is taken after nobody waits for the answer any more: a Redis that stood still reads all that was said to it
# meanwhile, and the machine may have a live socket, which it would be taken from.
_ANNOUNCE = ShardScript("""
local WORDS = 8 -- of each hello
local now, upto, changed, answers = clock(), tonumber(redis.call('GET', UPTO)), {}, {}
if now > tonumber(ARGV[1]) then return {now} end
local fresh = missing(FENCES, DEADLINES, PLACES, INFOS)

local function announce(machine, workspace, node, connection, version, known, cursor, info)
    version, known, cursor = tonumber(version), tonumber(known), tonumber(cursor)
    if redis.call('SISMEMBER', REVOKED, machine) == 1 then return {'revoked'} end
    if not upto or upto < cursor then return {'mirror-behind'} end

    local stored = parse(redis.call('HGET', FENCES, machine))
    if stored and stored.version > version then return {'replaced', stored.fence} end
    local held = false
    if stored and not stored.reason and stored.connection ~= connection then
        local deadline = tonumber(redis.call('ZSCORE', DEADLINES, machine))
        held = deadline ~= nil and deadline >= now
    end

    -- A newcomer that knows the current generation is the same agent on a new socket, and so is one that knows just
    -- what the owner knew when it contested the machine: nobody told it that it owns it, as after a Redis that stood
    -- still and then takes all that was said to it meanwhile. A stranger, who may know nothing, contests the machine.
    local contests, said
    if held and stored.generation ~= known then
        local value, times = redis.call('HGET', CONTESTS, machine) or '', {}
        said = int(known)
        for time in string.gmatch(string.match(value, '^[%d ]*'), '%d+') do
            local age = now - tonumber(time)
            if age >= 0 and age < CONTESTS_MS then times[#times + 1] = time end
        end
        if known == 0 or string.match(value, '|(.*)$') ~= int(stored.generation) .. ':' .. said then
            if #times >= CONTESTS_MAX then return {'rate-limited'} end
            times[#times + 1] = int(now)
        end
        contests = table.concat(times, ' ')
    end

    if known > now + AHEAD_MS then known = 0 end
    local generation = math.max(stored and stored.generation or 0, known, now) + 1
    if contests then
        redis.call('HSET', CONTESTS, machine, contests .. '|' .. int(generation) .. ':' .. said)
        keep(CONTESTS)
    end
    local place, here = stored and redis.call('HGET', PLACES, machine), workspace .. ' ' .. node
    redis.call('HSET', FENCES, machine, int(version) .. ':' .. int(generation) .. ':' .. connection)
    redis.call('ZADD', DEADLINES, int(now + OFFLINE_MS), machine)
    if place ~= here then redis.call('HSET', PLACES, machine, here) end
    redis.call('HSET', INFOS, machine, info)
    if fresh then keep(FENCES, DEADLINES, PLACES, INFOS) end
    local offline = (not stored or stored.reason) and redis.call('ZREM', OFFLINE, machine) == 1
    if offline or not stored then
        redis.call('ZADD', UNTOLD, int(now), machine)
        keep(UNTOLD)
    end
    note(changed, workspace, machine)

    if not stored then return {'admitted', int(generation)} end
    if stored.connection == connection then return {'admitted', int(generation), 'again'} end
    return {'admitted', int(generation), stored.fence, string.match(place or '', ' (%S+)$') or '', held and 1 or 0}
end

for at = 2, #ARGV, WORDS do answers[#answers + 1] = announce(unpack(ARGV, at, at + WORDS - 1)) end
ring(now, changed)
return {now, answers}
""")


class Announcement(Struct, frozen=True, kw_only=True):
    """What a machine's hello claims: its next generation is minted from it."""

    workspace: str
    machine: str
    token_version: int
    connection: str
    node: str  # boot id
    known_generation: int = 0  # the generation the agent last held; ignored when more than an hour ahead
    info: Info
    revocations_upto: int = 0  # the node's own cursor in the table of changes


class Admitted(Struct, frozen=True, kw_only=True):
    """The machine is this connection's now; `previous_*` name the connection that had it, if one was remembered."""

    fence: Fence
    previous_token_version: int = 0
    previous_node: str | None = None
    previous_connection: str | None = None
    previous_generation: int = 0
    previous_connected: bool = False  # its socket was not known to have dropped: it wants a kick
    again: bool = False  # Redis had taken this very hello before its answer was lost, and with it who was previous


class Refused(Struct, frozen=True):
    """The hello changed nothing. `mirror-behind`: load the shard's revocations to your cursor, then announce again."""

    reason: Literal["revoked", "replaced", "rate-limited", "mirror-behind"]
    fence: Fence | None = None  # of `replaced`: who has the machine


class Hellos:
    """Runs the script, and knows from each answer what time it is for whoever has the shard."""

    def __init__(self, redis: Commands, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._ahead_ms: dict[int, float] = {}  # by shard: Redis's clock less ours, which counts from anywhere

    async def announce(self, shard: int, announcements: Sequence[Announcement]) -> list[Admitted | Refused]:
        """Take machines of one shard, at most `HELLOS_PER_SCRIPT`; the answers in their order. Raises
        `Unavailable`, after which none is taken any more by a shard that has answered before."""
        assert len(announcements) <= HELLOS_PER_SCRIPT
        words: list[str | int] = []
        for asked in announcements:
            words += (
                asked.machine, asked.workspace, asked.node, asked.connection,
                asked.token_version, asked.known_generation, asked.revocations_upto, encode_info(asked.info),
            )  # fmt: skip
        clock = asyncio.get_running_loop().time
        for _ in range(ATTEMPTS):
            ahead_ms = self._ahead_ms.get(shard)
            until = FOREVER_MS if ahead_ms is None else int((clock() + TAKEN_SECONDS) * 1000 + ahead_ms)
            now_ms, *answers = await _ANNOUNCE.run(self._redis, shard_keys(self._keys, shard), [until, *words])
            self._ahead_ms[shard] = now_ms - clock() * 1000
            if answers:
                return [_outcome(asked, answer) for asked, answer in zip(announcements, answers[0], strict=True)]
        raise Unavailable("the relay's memory (Redis) answers too late")


def _outcome(asked: Announcement, answer: Any) -> Admitted | Refused:
    match answer:
        case ["admitted", generation]:
            return Admitted(fence=Fence(asked.token_version, int(generation), asked.connection))
        case ["admitted", generation, "again"]:
            return Admitted(fence=Fence(asked.token_version, int(generation), asked.connection), again=True)
        case ["admitted", generation, before, node, connected]:
            previous = Fence.parse(before)
            return Admitted(
                fence=Fence(asked.token_version, int(generation), asked.connection),
                previous_token_version=previous.token_version,
                previous_node=node or None,
                previous_connection=previous.connection,
                previous_generation=previous.generation,
                previous_connected=connected == 1,
            )
        case ["replaced", stored]:
            return Refused("replaced", Fence.parse(stored))
        case [("revoked" | "rate-limited" | "mirror-behind") as reason]:
            return Refused(reason)
        case _:
            raise AssertionError(f"announce answered {answer!r}")
