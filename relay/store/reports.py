"""Remembers for some seconds what each node and each sweeper says of itself, for whoever watches the cluster."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from relay.rules import timing
from relay.store.keys import Keys
from relay.store.memory import Memory
from relay.store.script import Script

PROCESSES = 500  # reports that are listed; leases list no more nodes either
REPORT_MS = int(timing.LEASE_SECONDS * 1000)  # after so long without a word a process is not shown
FORGOTTEN_MS = REPORT_MS * 4

# Makes atomic: what a process says with when, by this server's clock, and the removal of those that are long gone.
_TELL = Script(f"""
local now = clock()
redis.call('ZADD', KEYS[1], int(now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now - {FORGOTTEN_MS}), 'LIMIT', 0, {PROCESSES})
if #gone > 0 then
    redis.call('ZREM', KEYS[1], unpack(gone))
    redis.call('HDEL', KEYS[2], unpack(gone))
end
keep(KEYS[1], KEYS[2])
""")

# Makes atomic: the list and what its processes said.
_HEAR = Script(f"""
local since, said = '(' .. int(clock() - {REPORT_MS}), {{}}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf', 'LIMIT', 0, {PROCESSES})) do
    said[#said + 1] = redis.call('HGET', KEYS[2], id)
end
return said
""")


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """What every process says. A hint: leases tell which nodes live."""

    id: str
    place: str  # a URL, or a host and a process there
    version: str
    started_ms: int
    cpu: float = 0.0  # share of one core since the last report
    memory_bytes: int = 0


class NodeReport(Report, tag="node", frozen=True, kw_only=True, rename="camel"):
    """What a node carries."""

    reasons: tuple[str, ...] = ()  # why it takes no newcomers
    agents: int = 0
    browsers: int = 0
    attachments: int = 0
    frames_per_second: float = 0.0  # written to sockets here
    bytes_per_second: float = 0.0
    lag_seconds: float = 0.0  # the latest the event loop was in a second
    bus_seconds: float | None = None  # None while it is deaf
    drift: int = 0


class SweeperReport(Report, tag="sweeper", frozen=True, kw_only=True, rename="camel"):
    """How a sweeper's rounds go."""

    age_seconds: float = 0.0  # since a round came to its end
    behind: bool = False
    told_per_second: float = 0.0  # machines that came or went
    rhythm: int | None = None  # as a node's lease says it


AnyReport = NodeReport | SweeperReport
_DECODER: msgspec.json.Decoder[AnyReport] = msgspec.json.Decoder(AnyReport)


class Reports:
    """All processes' latest reports. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def tell(self, report: AnyReport) -> None:
        """Replace what this process said before."""
        await _TELL.run(self._redis, self._keys.reports, (report.id, msgspec.json.encode(report).decode()))

    async def heard(self) -> list[AnyReport]:
        """What everybody said within the last 15 s, oldest process first; what a newer version says in other words is
        left out."""
        found = []
        for text in await _HEAR.run(self._redis, self._keys.reports):
            try:
                found.append(_DECODER.decode(text))
            except msgspec.DecodeError:
                continue
        return sorted(found, key=lambda report: (report.started_ms, report.id))
