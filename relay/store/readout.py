"""Reads the presence of many machines, in chunks that let the event loop breathe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import Record
from relay.store.connection import answering, ask
from relay.store.keys import Keys
from relay.store.records import is_settled, milliseconds, parse_record

CHUNK_IDS = 250  # machines per round trip: asking, reading and parsing them keeps the loop for about a millisecond


class Readout(Struct, frozen=True):
    """Presence as of one moment of Redis's clock; a machine without a record is not among `records`."""

    now_ms: int
    settled: bool
    records: dict[str, Record]
    version: int  # of the workspace: the same number means that no machine came, left or changed since


async def read(redis: Redis, keys: Keys, workspace: str, machines: Sequence[str]) -> Readout:
    """The records of these machines; raises `Unavailable`. The version is read first: what changes while the rest is
    read leaves the readout with an old version, and is read again."""
    shard = keys.shard(workspace)
    records: dict[str, Record] = {}
    now_ms, marker, version = 0, (None, None), 0
    for start in range(0, max(len(machines), 1), CHUNK_IDS):
        chunk = machines[start : start + CHUNK_IDS]
        with answering():
            # One transaction per chunk, so that a record's two halves (value and deadline) are of one moment.
            pipeline = redis.pipeline(transaction=True)
            pipeline.execute_command("TIME")
            pipeline.execute_command("HMGET", keys.of(shard, "marker"), "flushed", "settled")
            pipeline.execute_command("HGET", keys.of(shard, "versions"), workspace)
            if chunk:
                _ask(pipeline, keys, shard, chunk)
            time, found_marker, found_version, *columns = await pipeline.execute()
        if start == 0:
            version = int(found_version or 0)
        now_ms, marker = milliseconds(time), found_marker
        if columns:
            _collect(records, chunk, columns)
        await asyncio.sleep(0)
    return Readout(now_ms, is_settled(marker, now_ms), records, version)


async def machines_of(redis: Redis, keys: Keys, workspace: str) -> list[str]:
    """Every machine of the workspace that Redis has a record of; walks the whole shard in bounded steps."""
    found: dict[str, None] = {}
    cursor = "0"
    while True:
        cursor, page = await ask(redis, "HSCAN", keys.of(keys.shard(workspace), "places"), cursor, "COUNT", SCRIPT_IDS)
        found.update((machine, None) for machine, place in page.items() if place.startswith(workspace))
        if str(cursor) == "0":
            return list(found)


def _ask(pipeline: Any, keys: Keys, shard: int, machines: Sequence[str]) -> None:
    pipeline.execute_command("HMGET", keys.of(shard, "fences"), *machines)
    pipeline.execute_command("ZMSCORE", keys.of(shard, "deadlines"), *machines)
    pipeline.execute_command("HMGET", keys.of(shard, "places"), *machines)
    pipeline.execute_command("HMGET", keys.of(shard, "infos"), *machines)


def _collect(records: dict[str, Record], machines: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    for machine, value, deadline, place, info in zip(machines, *columns, strict=True):
        if value is not None:
            records[machine] = parse_record(machine, value, deadline, place, info)
