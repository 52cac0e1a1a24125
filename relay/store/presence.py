"""Remembers which connection speaks for each machine, and when each was last heard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from relay.errors import Unavailable
from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Fence, Info, Record
from relay.store import excuses, heartbeats
from relay.store.heartbeats import Beat, Flushed, Lost, Reannouncement
from relay.store.hello import Admitted, Announcement, Hellos, Refused
from relay.store.keys import Keys
from relay.store.memory import Memory
from relay.store.readout import Reader, Readout, Since
from relay.store.records import encode_info
from relay.store.script import Argument, Commands
from relay.store.shard import LEAVING, ShardScript, shard_keys

# Makes atomic: comparing the fence, or its connection alone, and bringing the deadline forward, never back. A
# connection drops once.
_DROP = ShardScript(f"""
local machine, workspace, owner, age = unpack(ARGV)
local stored = parse(redis.call('HGET', FENCES, machine))
if not stored or (stored.fence ~= owner and stored.connection ~= owner) then return 0 end
if stored.reason then return 1 end
local now = clock()
local heard = (tonumber(redis.call('ZSCORE', DEADLINES, machine)) or now) - OFFLINE_MS
if age ~= '' then heard = math.max(heard, now - age) end
local deadline = math.min(now + DROPPED_MS, heard + OFFLINE_MS)
redis.call('HSET', FENCES, machine, parted(stored.fence, '{LEAVING}', heard, deadline))
if redis.call('ZADD', DEADLINES, int(deadline), machine) == 1 then keep(DEADLINES) end
ring(now, {{[workspace] = {{machine}}}})
return 1
""")

# Makes atomic: comparing the fence and taking the machine offline as of now, with the note for SQL.
_GOODBYE = ShardScript("""
local machine, workspace, fence = unpack(ARGV)
local stored = parse(redis.call('HGET', FENCES, machine))
if not stored or stored.fence ~= fence then return 0 end
if stored.reason == 'closed' then return 1 end
local now = clock()
redis.call('HSET', FENCES, machine, parted(fence, 'closed', now, now))
redis.call('ZREM', DEADLINES, machine)
redis.call('ZADD', OFFLINE, int(now), machine)
redis.call('ZADD', UNTOLD, int(now), machine)
ring(now, {[workspace] = {machine}})
keep(OFFLINE, UNTOLD)
return 1
""")

# Makes atomic: comparing the fence and replacing the description.
_DESCRIBE = ShardScript("""
local machine, workspace, fence, info = unpack(ARGV)
local stored = parse(redis.call('HGET', FENCES, machine))
if not stored or stored.fence ~= fence then return 0 end
if redis.call('HSET', INFOS, machine, info) == 1 then keep(INFOS) end
ring(clock(), {[workspace] = {machine}})
return 1
""")

# Makes atomic: removing every trace, so that no reader sees half a machine.
_FORGET = ShardScript("""
local machine, workspace = unpack(ARGV)
for _, key in ipairs({FENCES, PLACES, INFOS, CONTESTS}) do redis.call('HDEL', key, machine) end
for _, key in ipairs({DEADLINES, OFFLINE, UNTOLD}) do redis.call('ZREM', key, machine) end
ring(clock(), {[workspace] = {machine}})
""")

# Makes atomic: a new version together with its bell.
_RING = ShardScript("""
local workspace = table.remove(ARGV, 1)
ring(clock(), {[workspace] = ARGV})
""")


class Presence:
    """Presence of all machines, fenced by (token version, generation, connection). All methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys, pipeline: Commands | None = None) -> None:
        self._redis = redis
        self._commands = pipeline or redis  # for what comes in storms: hellos, and the ends of connections
        self._keys = keys
        self._hellos = Hellos(self._commands, keys)
        self._reader = Reader(redis, keys)
        self.turned_away: Callable[[int], object] = lambda shard: None  # told of each shard whose hellos were lost

    async def announce(self, announcement: Announcement) -> Admitted | Refused:
        """Take the machine for a new connection under a generation that nobody held before, in one round trip."""
        return (await self.announce_all(self.shard(announcement.workspace), [announcement]))[0]

    async def announce_all(self, shard: int, announcements: Sequence[Announcement]) -> list[Admitted | Refused]:
        """The same for several machines of one shard, at most `HELLOS_PER_SCRIPT`, still in one round trip."""
        try:
            return await self._hellos.announce(shard, announcements)
        except Unavailable:
            self.turned_away(shard)
            raise

    def shard(self, workspace: str) -> int:
        """Machines of which workspaces can be announced together."""
        return self._keys.shard(workspace)

    async def beat(self, node: str, beats: Iterable[Beat]) -> Flushed:
        """Refresh the deadlines of the connections that still own their machines, mark every shard as flushed, and
        tell which beats were not taken and which shards are away. To be called at each flush, also with no beats: the
        marks are what makes silence trustworthy."""
        return await heartbeats.beat(self._redis, self._keys, node, beats)

    async def excuse(self, shards: Collection[int]) -> frozenset[int]:
        """Give everybody whose socket dropped a whole grace from now on, once in a while, where they were turned away
        because Redis did not answer; the shards that could not be told."""
        return await excuses.excuse(self._redis, self._keys, shards)

    async def reannounce(self, node: str, revocations_upto: int, machines: Sequence[Reannouncement]) -> list[Lost]:
        """Put machines back under the fences they hold: adopted when nothing, the same or an older fence is stored."""
        return await heartbeats.reannounce(self._redis, self._keys, node, revocations_upto, machines)

    async def drop(self, workspace: str, machine: str, fence: Fence, age_ms: int | None = None) -> bool:
        """The socket was seen to drop: offline in 10 s unless it returns. `age_ms` is since when the node had heard
        nothing on it. Whether this fence still owned the machine."""
        age: Argument = "" if age_ms is None else age_ms
        return bool(await self._run(_DROP, workspace, machine, workspace, fence.text, age))

    async def abandon(self, workspace: str, machine: str, connection: str) -> bool:
        """The same for a connection whose hello nobody waits for any more, so that its fence is not known. To be called
        after the hello on the same node: commands to one server keep their order."""
        return bool(await self._run(_DROP, workspace, machine, workspace, connection, ""))

    async def goodbye(self, workspace: str, machine: str, fence: Fence) -> bool:
        """The agent left on purpose: offline now, and beats on this connection count no more. Whether this fence still
        owned the machine."""
        return bool(await self._run(_GOODBYE, workspace, machine, workspace, fence.text))

    async def describe(self, workspace: str, machine: str, fence: Fence, info: Info) -> bool:
        """Replace what the machine says of itself and ring. Whether this fence still owned the machine."""
        return bool(await self._run(_DESCRIBE, workspace, machine, workspace, fence.text, encode_info(info)))

    async def forget(self, workspace: str, machine: str) -> None:
        """Remove every trace of the machine but its revocation, and ring; for revoked machines."""
        await self._run(_FORGET, workspace, machine, workspace)

    async def read(self, workspace: str, machines: Iterable[str] | None = None) -> Readout:
        """The records of these machines, or of all the workspace's when None, in chunks that let the loop breathe.
        They are not to be changed: the next readout may hand out the same objects."""
        if machines is None:
            machines = await self._reader.machines_of(workspace)
        return await self._reader.read(workspace, list(machines))

    async def locate(self, workspace: str, machine: str) -> Record | None:
        """One machine's record: `node` holds its socket when `connected`. None when Redis does not know it."""
        return (await self.read(workspace, [machine])).records.get(machine)

    async def version(self, workspace: str) -> int:
        """The workspace's version: a cheap question whether a readout still holds, as far as transitions go."""
        return await self._reader.version(workspace)

    async def since(self, workspace: str, version: int) -> Since:
        """What happened in the workspace since a readout of this version, in one round trip. Only beats, which tell
        nobody, go unmentioned: they move times, and with them bands that silence had lowered."""
        return await self._reader.since(workspace, version)

    async def beats(self, workspace: str, records: Sequence[Record]) -> list[Record]:
        """Those of these connected machines who were heard since they were read, each with a new record."""
        return await self._reader.beats(workspace, records)

    async def ring(self, workspace: str, machines: Sequence[str]) -> None:
        """Raise the workspace's version and tell listeners to read these machines again (their SQL part changed)."""
        for start in range(0, len(machines), SCRIPT_IDS):
            await self._run(_RING, workspace, workspace, *machines[start : start + SCRIPT_IDS])

    async def _run(self, script: ShardScript, workspace: str, *arguments: Argument) -> object:
        return await script.run(self._commands, shard_keys(self._keys, self._keys.shard(workspace)), arguments)
