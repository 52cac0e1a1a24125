"""Moves a registry to another database, whole and verified, and lets nobody write to the old place any more."""

from __future__ import annotations

from sqlalchemy import URL, select, text

from relay.errors import Misconfigured
from relay.registry import charter, loading
from relay.registry.changes import COUNTER
from relay.registry.database import PATIENT_SECONDS, Database
from relay.registry.migrate import check_version, migrate
from relay.registry.snapshot import Tallies, Tally, encoded, parts
from relay.registry.tables import counters

_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def move(url: str, target_url: str, now_ms: int) -> dict[str, Tally]:
    """Copy everything into the empty registry at `target_url`, compare the two table by table, and let nobody open the
    old one or write to it again. Whoever writes to it waits meanwhile, and is refused then. If this is cut short the
    old one is still the registry. Raises `Conflict` for a target that is not empty, `Misconfigured`,
    `RegistryUnavailable`."""
    source = Database(url, answer_seconds=PATIENT_SECONDS)
    target = Database(target_url, answer_seconds=PATIENT_SECONDS)
    try:
        if source.url == target.url:
            raise Misconfigured("a registry cannot be moved to where it is")
        await check_version(source)
        await charter.which(source, now_ms)
        await migrate(target_url)
        return await _moved(source, target, now_ms)
    finally:
        await source.close()
        await target.close()


async def _moved(source: Database, target: Database, now_ms: int) -> dict[str, Tally]:
    tallies = Tallies()
    async with source.exclusive() as reading:
        if not source.sqlite:
            await reading.execute(_ONE_MOMENT)
            await charter.close_to_writers(reading)  # before the first look, which fixes what this transaction sees
        await charter.refuse_moved(reading)  # by somebody else, a moment ago
        await reading.execute(select(counters).where(counters.c.name == COUNTER).with_for_update())  # nobody changes it
        async with target.exclusive() as writing:
            await loading.refuse_filled(writing)
            await loading.empty(writing)
            async for part in parts(reading):
                tallies.add(part.table, map(encoded, part.rows))
                await loading.insert_part(writing, part)
            await loading.finish(writing, tallies.result(), sqlite=target.sqlite)
        await charter.say_moved(reading, shown(target.url), now_ms)
    return tallies.result()


def shown(url: URL) -> str:
    """A database for people's eyes: no password, and nothing of the query, where drivers take one too."""
    place = f"{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database}"
    return f"{url.drivername}://{place}"
