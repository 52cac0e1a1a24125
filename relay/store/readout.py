"""Reads the presence of many machines, in chunks that let the event loop breathe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import OFFLINE_MS, Record
from relay.store.connection import answering, ask
from relay.store.keys import Keys
from relay.store.records import Parsed, is_settled, milliseconds, parse

CHUNK_IDS = 250  # machines per round trip: asking, reading and parsing them keeps the loop for about a millisecond
REMEMBERED = 50_000  # parsed records, about 500 bytes each; beyond it all are forgotten and parsed once more


class Readout(Struct, frozen=True):
    """Presence as of one moment of Redis's clock; a machine without a record is not among `records`."""

    now_ms: int
    settled: bool
    records: dict[str, Record]
    version: int  # of the workspace: the same number means that no machine came, left or changed since


class Reader:
    """Reads records, and remembers what it parsed: most of a record is the same the next time."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._parsed: dict[str, Parsed] = {}

    async def read(self, workspace: str, machines: Sequence[str]) -> Readout:
        """The records of these machines; raises `Unavailable`. The version is read first: what changes while the rest
        is read leaves the readout with an old version, and is read again."""
        shard = self._keys.shard(workspace)
        records: dict[str, Record] = {}
        version = await self.version(workspace)
        now_ms, marker = 0, (None, None)
        for start in range(0, max(len(machines), 1), CHUNK_IDS):
            chunk = machines[start : start + CHUNK_IDS]
            with answering():
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.execute_command("TIME")
                pipeline.execute_command("HMGET", self._keys.of(shard, "marker"), "flushed", "settled")
                if chunk:
                    self._ask(pipeline, shard, chunk)
                time, marker, *columns = await pipeline.execute()
            now_ms = milliseconds(time)
            if columns:
                self._collect(records, now_ms, chunk, columns)
            await asyncio.sleep(0)
        return Readout(now_ms, is_settled(marker, now_ms), records, version)

    async def version(self, workspace: str) -> int:
        """The workspace's version, 0 when Redis has none."""
        key = self._keys.of(self._keys.shard(workspace), "versions")
        return int(await ask(self._redis, "HGET", key, workspace) or 0)

    async def machines_of(self, workspace: str) -> list[str]:
        """Every machine of the workspace that Redis has a record of; walks the whole shard in bounded steps."""
        places = self._keys.of(self._keys.shard(workspace), "places")
        found: dict[str, None] = {}
        cursor = "0"
        while True:
            cursor, page = await ask(self._redis, "HSCAN", places, cursor, "COUNT", SCRIPT_IDS)
            found.update((machine, None) for machine, place in page.items() if place.startswith(workspace))
            if str(cursor) == "0":
                return list(found)

    def _ask(self, pipeline: Any, shard: int, machines: Sequence[str]) -> None:
        # Deadlines first: a machine that is swept between the two has both halves, its value being the later one. And
        # one that comes back between them has a value without a deadline: it was heard just now.
        pipeline.execute_command("ZMSCORE", self._keys.of(shard, "deadlines"), *machines)
        pipeline.execute_command("HMGET", self._keys.of(shard, "fences"), *machines)
        pipeline.execute_command("HMGET", self._keys.of(shard, "places"), *machines)
        pipeline.execute_command("HMGET", self._keys.of(shard, "infos"), *machines)

    def _collect(
        self, records: dict[str, Record], now_ms: int, machines: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> None:
        if len(self._parsed) > REMEMBERED:
            self._parsed.clear()
        for machine, deadline, value, place, info in zip(machines, *columns, strict=True):
            if value is None:
                continue
            parsed = self._parsed.get(machine)
            if parsed is None or parsed.value != value or parsed.place != place or parsed.info != info:
                parsed = self._parsed[machine] = parse(machine, value, place, info)
            records[machine] = parsed.record(int(deadline) if deadline is not None else now_ms + OFFLINE_MS)
