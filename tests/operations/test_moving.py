"""Says that a registry moves to another database whole, and that nobody writes to the old one any more."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Conflict, Misconfigured, RegistryUnavailable
from relay.registry import Registry, loading, migrate, move
from relay.registry.database import checked
from relay.registry.moving import shown
from relay.registry.snapshot import Part
from tests.registry.acme import START_MS, Acme, mark

pytestmark = pytest.mark.xdist_group("postgresql")  # each of these goes from one database to the other


async def test_a_registry_moves_whole_and_the_old_one_says_where_it_went(url: str, elsewhere: str, acme: Acme) -> None:
    await acme.connect(acme.jane, "mac-studio")
    await acme.invite("Pia")
    here = await acme.registry.charter(START_MS)
    tallies = await move(url, elsewhere, START_MS)
    assert (tallies["machines"].rows, tallies["people"].rows) == (1, 2)
    there = await Registry.open(elsewhere)
    assert await there.machines.list([acme.id]) == await acme.registry.machines.list([acme.id])
    assert await there.charter(START_MS) == here, "it is the same registry"
    with pytest.raises(Misconfigured, match=r"this registry was moved to .* set RELAY_DATABASE_URL to that"):
        await Registry.open(url)
    await Acme(there, acme.workspace, acme.owner).connect(acme.jane, "newcomer")
    await there.close()


async def test_whoever_has_the_old_one_open_writes_to_it_no_more(url: str, elsewhere: str, acme: Acme) -> None:
    mac = await acme.connect(acme.jane, "mac-studio")
    await move(url, elsewhere, START_MS)
    with pytest.raises(RegistryUnavailable, match="was moved while this process ran"):
        await acme.register(acme.jane, "written-to-the-old")
    with pytest.raises(RegistryUnavailable, match="start it anew with the new RELAY_DATABASE_URL"):
        await acme.registry.machines.mark([mark(mac.id, acme.now_ms, "stopped")], acme.now_ms)
    assert (await acme.get(mac.id)).name == "mac-studio", "and may go on reading until it is told to end"


async def test_what_is_written_while_a_registry_moves_is_moved_or_refused(url: str, elsewhere: str, acme: Acme) -> None:
    """However the two meet, nobody is told that something is stored which the new place does not have."""
    stored: list[str] = []

    async def write() -> None:
        for _ in range(30):
            try:
                stored.append((await acme.registry.people.create("Olga", acme.now_ms)).id)
            except RegistryUnavailable:
                return

    writers = [asyncio.create_task(write()) for _ in range(3)]
    await acme.registry.people.create("Olga", acme.now_ms)
    await move(url, elsewhere, START_MS)
    await asyncio.gather(*writers)
    there = await Registry.open(elsewhere)
    for person in stored:
        await there.people.get(person)
    await there.close()


async def test_a_registry_in_use_is_no_place_to_move_to(url: str, elsewhere: str, acme: Acme) -> None:
    await migrate(elsewhere)
    other = await Registry.open(elsewhere)
    await other.people.create("Olga", START_MS)
    with pytest.raises(Conflict, match="not empty: it has people"):
        await move(url, elsewhere, START_MS)
    await other.close()
    await (await Registry.open(url)).close()  # and the old one is open as before


async def test_a_copy_that_lacks_a_row_is_thrown_away(
    url: str, elsewhere: str, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = loading.insert_part

    async def forgetful(connection: AsyncConnection, part: Part) -> None:
        if part.table != "audit":
            await insert(connection, part)

    with monkeypatch.context() as patch:
        patch.setattr(loading, "insert_part", forgetful)
        with pytest.raises(Misconfigured, match="audit has 0 rows, and 1 were expected"):
            await move(url, elsewhere, START_MS)
    assert (await move(url, elsewhere, START_MS))["audit"].rows == 1, "nothing was left in the way"


async def test_a_registry_is_not_moved_to_where_it_is(url: str, acme: Acme) -> None:
    with pytest.raises(Misconfigured, match="to where it is"):
        await move(url, url, START_MS)


def test_the_new_place_is_shown_without_its_password() -> None:
    url = checked("postgresql+asyncpg://relay:hush@db.internal:5432/relay?password=hush")
    assert shown(url) == "postgresql+asyncpg://db.internal:5432/relay"
