"""Reads the presence of many machines, in chunks that let the event loop breathe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.rules.limits import SCRIPT_IDS
from relay.rules.presence import OFFLINE_MS, Record
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory, ask_all
from relay.store.records import Parsed, beaten, is_settled, milliseconds, parse
from relay.store.shard import RUNG_MS

CHUNK_IDS = 250  # machines per round trip: asking and reading them keeps the loop for about a millisecond
PARSED_AT_ONCE = 125  # and parsing these for half of one
BEATS_AT_ONCE = 500  # machines of whom only the deadline is asked, in one round trip
CHUNKS_AT_ONCE = 2  # round trips under way: while one is parsed here, Redis answers the next
REMEMBERED = 50_000  # parsed records, about 500 bytes each; beyond it all are forgotten and parsed once more


class Readout(Struct, frozen=True):
    """Presence as of one moment of Redis's clock; a machine without a record is not among `records`."""

    now_ms: int
    settled: bool
    records: dict[str, Record]
    version: int  # of the workspace: the same number means that no machine came, left or changed since


class Since(Struct, frozen=True):
    """What happened in a workspace since some version."""

    now_ms: int
    settled: bool
    version: int
    rung: list[str] | None  # whom to read again, some perhaps of other workspaces; None: more than anyone kept count of


class Reader:
    """Reads records, and remembers what it parsed: most of a record is the same the next time."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._parsed: dict[str, Parsed] = {}

    async def read(self, workspace: str, machines: Sequence[str]) -> Readout:
        """The records of these machines; raises `Unavailable`. The version is read first: what changes while the rest
        is read leaves the readout with an old version, and is read again."""
        shard = self._keys.shard(workspace)
        records: dict[str, Record] = {}
        now_ms, settled, version, _ = await self._head(workspace)
        chunks = [machines[start : start + CHUNK_IDS] for start in range(0, len(machines), CHUNK_IDS)]
        for some in range(0, len(chunks), CHUNKS_AT_ONCE):
            asking = [self._chunk(records, shard, now_ms, chunk) for chunk in chunks[some : some + CHUNKS_AT_ONCE]]
            for outcome in await asyncio.gather(*asking, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                settled = settled and outcome
        return Readout(now_ms, settled, records, version)

    async def since(self, workspace: str, version: int) -> Since:
        """What rang after `version`; raises `Unavailable`."""
        rung = self._keys.of(self._keys.shard(workspace), "rung")
        ask_rung = ("ZRANGEBYSCORE", rung, f"({version}", "+inf", "LIMIT", 0, SCRIPT_IDS + 1)
        now_ms, settled, current, answers = await self._head(workspace, ask_rung)
        if current == version:
            return Since(now_ms, settled, current, [])
        machines = list(answers[0])
        counted = version >= now_ms - RUNG_MS and current > version and len(machines) <= SCRIPT_IDS
        return Since(now_ms, settled, current, machines if counted else None)

    async def beats(self, workspace: str, records: Sequence[Record]) -> list[Record]:
        """Those of these connected machines who were heard since, anew; raises `Unavailable`. A deadline that came
        forward is a drop and not a beat: it rang, and `since` tells of it."""
        deadlines = self._keys.of(self._keys.shard(workspace), "deadlines")
        found: list[Record] = []
        for start in range(0, len(records), BEATS_AT_ONCE):
            some = records[start : start + BEATS_AT_ONCE]
            answer = await ask(self._redis, "ZMSCORE", deadlines, *[record.machine for record in some])
            for record, deadline in zip(some, answer, strict=True):
                if deadline is not None and deadline > record.deadline_ms:
                    found.append(beaten(record, int(deadline)))
            await asyncio.sleep(0)
        return found

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

    async def _head(self, workspace: str, *more: Sequence[Any]) -> tuple[int, bool, int, list[Any]]:
        """Redis's time, whether the shard is settled, the workspace's version, and then answers to other questions."""
        shard = self._keys.shard(workspace)
        time, marker, version, *answers = await ask_all(
            self._redis,
            [
                ("TIME",),
                ("HMGET", self._keys.of(shard, "marker"), "flushed", "settled"),
                ("HGET", self._keys.of(shard, "versions"), workspace),
                *more,
            ],
        )
        now_ms = milliseconds(time)
        return now_ms, is_settled(marker, now_ms), int(version or 0), answers

    async def _chunk(self, records: dict[str, Record], shard: int, now_ms: int, machines: Sequence[str]) -> bool:
        # Whether the shard is what it was when its head was read: the marker is asked last, and where everything was
        # lost meanwhile that machines have no record proves nothing.
        # Deadlines first: a machine that is swept between the two has both halves, its value being the later one. And
        # one that comes back between them has a value without a deadline: it was heard just now.
        columns = await ask_all(
            self._redis,
            [
                ("ZMSCORE", self._keys.of(shard, "deadlines"), *machines),
                *(("HMGET", self._keys.of(shard, name), *machines) for name in ("fences", "places", "infos")),
                ("HGET", self._keys.of(shard, "marker"), "settled"),
            ],
        )
        *columns, settled_from = columns
        for start in range(0, len(machines), PARSED_AT_ONCE):
            part = slice(start, start + PARSED_AT_ONCE)
            self._collect(records, now_ms, machines[part], [column[part] for column in columns])
            await asyncio.sleep(0)
        return settled_from is not None and int(settled_from) <= now_ms

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
