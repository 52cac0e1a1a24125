"""Says what callers see of a database that is wrong, busy, gone, or back again."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Misconfigured, RegistryUnavailable, Unavailable
from relay.registry import SYSTEM, Registry, migrate
from relay.registry.database import Database
from tests.registry.acme import START_MS, Acme
from tests.support.postgres import Postgres


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "mysql://localhost/relay",
        "sqlite:///plain.db",
        "postgresql://localhost/relay",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:////no/such/folder/relay.db",
    ],
)
async def test_a_url_that_fits_neither_database_is_one_clear_line(url: str) -> None:
    with pytest.raises(Misconfigured, match="RELAY_DATABASE_URL"):
        await Registry.open(url)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for url in (f"postgresql+asyncpg://x@/x?host={tmp_path}", "postgresql+asyncpg://x@127.0.0.1:1/x"):
        with pytest.raises(Unavailable):
            await Registry.open(url)
        with pytest.raises(Unavailable):
            await migrate(url)


async def test_a_database_that_is_not_there_is_unavailable(postgres: Postgres) -> None:
    with pytest.raises(Unavailable):
        await Registry.open(postgres.url("nowhere"))


async def test_errors_of_our_own_are_not_called_an_outage(registry: Registry) -> None:
    async def fail(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO people VALUES ('a', 'b', 1), ('a', 'b', 1)"))

    with pytest.raises(IntegrityError):
        await registry._database.attempt(fail)


async def test_a_failed_transaction_leaves_nothing(acme: Acme) -> None:
    async def fail(connection: AsyncConnection) -> None:
        await connection.execute(text("DELETE FROM members"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await acme.registry._database.attempt(fail)
    assert len(await acme.registry.members.list(acme.id)) == 1


async def test_a_cancelled_caller_leaves_nothing_and_nothing_locked(acme: Acme) -> None:
    writes = [asyncio.create_task(acme.register(acme.jane, f"m-{index}")) for index in range(10)]
    await acme.registry.changes.latest()
    for write in writes[::2]:
        write.cancel()
    done = await asyncio.gather(*writes, return_exceptions=True)
    finished = [one for one in done if not isinstance(one, BaseException)]
    busy = [one for one in done if isinstance(one, RegistryUnavailable)]  # where processors are, for five seconds
    assert len(finished) + len(busy) >= 5
    listed = {machine.id for machine in await acme.registry.machines.list([acme.id])}
    assert {one.machine.id for one in finished} <= listed
    await acme.register(acme.jane, "after")


async def test_a_transaction_that_lost_a_race_is_begun_again(postgres: Postgres) -> None:
    """Two transactions lock two rows in opposite order: PostgreSQL ends one, and both are done all the same."""
    database = Database(postgres.url("postgres"))
    async with database.exclusive() as connection:
        await connection.execute(text("CREATE TABLE pair (id int, value int)"))
        await connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))
    both = asyncio.Barrier(2)

    async def work(first: int, second: int) -> None:
        attempts = 0

        async def attempt(connection: AsyncConnection) -> None:
            nonlocal attempts
            attempts += 1
            add = text("UPDATE pair SET value = value + 1 WHERE id = :id")
            await connection.execute(add, {"id": first})
            if attempts == 1:
                await both.wait()
            await connection.execute(add, {"id": second})

        await database.attempt(attempt)

    await asyncio.gather(work(1, 2), work(2, 1))
    async with database.exclusive() as connection:
        assert list(await connection.scalars(text("SELECT value FROM pair"))) == [2, 2]
        await connection.execute(text("DROP TABLE pair"))
    await database.close()


@pytest.fixture
def other_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """A server that a test may stop; `postgres` has shown that there can be one."""
    with tempfile.TemporaryDirectory(prefix="relay-pg-") as folder:
        server = Postgres(Path(folder))
        server.start()
        yield server
        server.throw_away()


def test_a_server_that_went_away_and_came_back_needs_no_restart_of_ours(other_postgres: Postgres) -> None:
    async def before() -> Registry:
        await migrate(other_postgres.url("postgres"))
        registry = await Registry.open(other_postgres.url("postgres"))
        await registry.workspaces.bootstrap("acme", "Jane", START_MS)
        return registry

    with asyncio.Runner() as runner:
        registry = runner.run(before())
        other_postgres.stop()
        other_postgres.start()
        assert runner.run(registry.changes.latest()) > 0, "nobody needed it meanwhile, so nobody notices"
        other_postgres.stop()
        with pytest.raises(Unavailable):
            runner.run(registry.changes.latest())
        with pytest.raises(Unavailable):
            runner.run(registry.people.create("Bob", START_MS))
        other_postgres.start()
        assert runner.run(registry.changes.latest()) > 0
        runner.run(registry.people.create("Bob", START_MS))
        runner.run(registry.close())


async def test_a_cancelled_caller_leaves_no_lock_behind(acme: Acme) -> None:
    """A socket that closes in the middle of a write must not keep everybody else from writing."""
    for spins in range(40):
        writing = asyncio.create_task(acme.registry.people.rename(acme.owner.id, f"name {spins}", SYSTEM, 1))
        reading = asyncio.create_task(acme.registry.changes.latest())
        for _ in range(spins):
            await asyncio.sleep(0)
        writing.cancel(), reading.cancel()
        await asyncio.gather(writing, reading, return_exceptions=True)
    await asyncio.wait([*acme.registry._database._under_way, asyncio.create_task(asyncio.sleep(0))])
    async with asyncio.timeout(5):
        person = await acme.registry.people.rename(acme.owner.id, "still here", SYSTEM, 1)
    assert person.name == "still here"
