"""Takes databases away in every way that they go: callers hear it soon, lose nothing and need no restart."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import RegistryUnavailable
from relay.registry import SYSTEM, Registry, migrate
from relay.registry.database import ANSWER_SECONDS, UNDER_WAY, Database
from relay.registry.engines import POOL_CONNECTIONS
from tests.registry.acme import START_MS, Acme
from tests.support.patience import within
from tests.support.postgres import Postgres
from tests.support.postgres_pair import Pair

SOON_SECONDS = 2.0  # for an answer that does not come: tests need not wait as long as people do
SLACK_SECONDS = 3.0  # a busy machine runs late

pytestmark = pytest.mark.xdist_group("postgresql")  # one worker starts servers


@pytest.fixture(scope="module")
def pair(postgres: Postgres) -> Iterator[Pair]:
    """Servers that tests may stop; `postgres` has shown that there can be any."""
    with tempfile.TemporaryDirectory(prefix="relay-pg-") as folder:
        servers = Pair(Path(folder))
        asyncio.run(migrate(servers.url()))
        yield servers
        servers.throw_away()


@pytest.fixture(scope="module")
def following(pair: Pair) -> Pair:
    """The same, with the second server following the first."""
    pair.standby.follow(pair.primary)
    pair.standby.start()
    return pair


@pytest.fixture
async def impatient(pair: Pair) -> AsyncIterator[Registry]:
    """A registry on the first of the servers, which waits for two seconds only."""
    registry = Registry(Database(pair.url(), answer_seconds=SOON_SECONDS))
    yield registry
    await registry.close()


async def _added(registry: Registry) -> str:
    return (await registry.people.create("Bob", START_MS)).id


async def test_a_server_that_answers_nothing_is_away_soon_and_is_used_again_when_it_does(
    pair: Pair, impatient: Registry
) -> None:
    """What was asked meanwhile was done whole or not at all, and the connections that hung are not asked again."""
    await asyncio.gather(*(_added(impatient) for _ in range(8)))
    before = await impatient.changes.latest()
    pair.primary.freeze()
    try:
        began = asyncio.get_running_loop().time()
        asked = [*(impatient.changes.latest() for _ in range(20)), *(_added(impatient) for _ in range(20))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        took_seconds = asyncio.get_running_loop().time() - began
    finally:
        pair.primary.thaw()
    assert {type(answer) for answer in answers} == {RegistryUnavailable}
    assert took_seconds < within(SOON_SECONDS + SLACK_SECONDS)
    assert ANSWER_SECONDS < 5, "and that is how long people wait"
    assert await impatient.changes.latest() >= before
    await _added(impatient)


async def test_more_than_a_healthy_registry_keeps_waiting_is_refused_at_once(pair: Pair, impatient: Registry) -> None:
    pair.primary.freeze()
    try:
        waiting = [asyncio.create_task(impatient.changes.latest()) for _ in range(UNDER_WAY)]
        await asyncio.sleep(0)
        with pytest.raises(RegistryUnavailable, match="busy"):
            await impatient.changes.latest()
    finally:
        pair.primary.thaw()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_connection_lost_before_the_commit_costs_nothing_but_another_beginning(
    pair: Pair, impatient: Registry
) -> None:
    attempts: list[int] = []

    async def work(connection: AsyncConnection) -> int:
        attempts.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        await connection.execute(text("INSERT INTO people VALUES (:id, 'Eve', 1)"), {"id": f"eve-{len(attempts)}"})
        if len(attempts) == 1:
            await asyncio.to_thread(_cut_off, pair, attempts[0])
        await connection.execute(text("SELECT 1"))
        return len(attempts)

    assert await impatient._database.attempt(work) == 2
    wanted = text("SELECT count(*) FROM people WHERE id LIKE 'eve-%'")
    assert [tuple(row) for row in await impatient._database.rows(wanted)] == [(1,)]


async def test_a_connection_lost_at_the_commit_is_told_and_not_tried_again(pair: Pair, impatient: Registry) -> None:
    """Nobody knows whether it was committed; whoever asked may look."""
    attempts: list[int] = []

    async def work(connection: AsyncConnection) -> None:
        attempts.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        await asyncio.to_thread(_cut_off, pair, attempts[0])

    with pytest.raises(RegistryUnavailable):
        await impatient._database.attempt(work)
    assert len(attempts) == 1
    await _added(impatient)


def _cut_off(pair: Pair, pid: int) -> None:
    asyncio.run(pair.primary.execute(f"SELECT pg_terminate_backend({pid}, 5000)"))


async def test_a_row_that_somebody_holds_makes_its_writers_busy_and_no_connection_suspect(
    pair: Pair, impatient: Registry
) -> None:
    """A backup, a person with a console: the server is well, and everybody else is served."""
    person = await _added(impatient)

    async def pids() -> set[int]:
        slowly = text("SELECT pg_backend_pid() FROM pg_sleep(0.1)")
        found = await asyncio.gather(*(impatient._database.row(slowly) for _ in range(POOL_CONNECTIONS)))
        return {int(row[0]) for row in found if row is not None}

    before = await pids()
    other = await asyncpg.connect(user="postgres", database="postgres", host=str(pair.address))
    async with other.transaction():
        await other.execute("SELECT 1 FROM people WHERE id = $1 FOR UPDATE", person)
        with pytest.raises(RegistryUnavailable, match="busy"):
            await impatient.people.rename(person, "Eve", SYSTEM, START_MS)
        assert (await impatient.people.get(person)).name == "Bob"
    await other.close()
    assert await pids() == before
    await impatient.people.rename(person, "Eve", SYSTEM, START_MS)


def test_what_was_acknowledged_is_there_after_a_crash_also_where_the_server_would_not_wait_for_its_disk(
    pair: Pair,
) -> None:
    """The servers of these tests run with `synchronous_commit=off`, as some people's do."""
    with asyncio.Runner() as runner:
        registry = Registry(Database(pair.url()))
        added = [runner.run(_added(registry)) for _ in range(20)]
        pair.primary.throw_away()
        with pytest.raises(RegistryUnavailable):
            runner.run(registry.changes.latest())
        pair.primary.start()
        assert [runner.run(registry.people.get(id)).id for id in added] == added
        runner.run(registry.close())


async def test_a_server_with_too_many_clients_is_away_until_some_leave(pair: Pair) -> None:
    await pair.primary.execute("CREATE ROLE few LOGIN SUPERUSER; ALTER ROLE few NOSUPERUSER CONNECTION LIMIT 1")
    registry = Registry(Database(pair.url(user="few")))
    other = await asyncpg.connect(user="few", database="postgres", host=str(pair.address))
    with pytest.raises(RegistryUnavailable, match="too many connections"):
        await registry.changes.latest()
    await other.close()
    await pair.primary.execute("GRANT pg_read_all_data TO few")
    assert await registry.changes.latest() >= 0
    await registry.close()


def test_a_standby_serves_what_is_read_and_says_that_it_takes_no_writes(following: Pair) -> None:
    """Then the address leads to the primary again: without a word to us."""
    pair = following
    pair.lead_to(pair.standby)
    with asyncio.Runner() as runner:
        registry = Registry(Database(pair.url()))
        assert runner.run(registry.changes.latest()) >= 0
        with pytest.raises(RegistryUnavailable, match="takes no writes"):
            runner.run(_added(registry))
        pair.lead_to(pair.primary)
        runner.run(_added(registry))
        runner.run(registry.close())


def test_a_primary_that_vanishes_is_forgotten_with_all_its_connections_when_its_standby_takes_over(
    following: Pair,
) -> None:
    """One round of questions waits for it; it never says a word, so the idle connections look sound for ever."""
    pair = following
    with asyncio.Runner() as runner:
        registry = Registry(Database(pair.url(), answer_seconds=SOON_SECONDS))
        runner.run(_all_connections(registry))
        pair.primary.freeze()
        try:
            assert set(map(type, runner.run(_at_once(registry, 2)))) == {RegistryUnavailable}
            pair.lead_to(pair.standby)
            pair.standby.promote()
            assert set(map(type, runner.run(_at_once(registry, 8)))) == {str}
            runner.run(registry.close())
        finally:
            pair.primary.thaw()


async def _all_connections(registry: Registry) -> None:
    """Have every connection that the registry may have open and idle."""
    slowly = text("SELECT pg_sleep(0.1)")
    await asyncio.gather(*(registry._database.rows(slowly) for _ in range(POOL_CONNECTIONS)))


async def _at_once(registry: Registry, number: int) -> list[str | BaseException]:
    return await asyncio.gather(*(_added(registry) for _ in range(number)), return_exceptions=True)


# --- SQLite ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Where a migrated registry is."""
    path = tmp_path / "registry.db"
    await migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
async def on_file(file: Path) -> AsyncIterator[Registry]:
    """A registry in it, which waits for two seconds only."""
    registry = Registry(Database(f"sqlite+aiosqlite:///{file}", answer_seconds=SOON_SECONDS))
    yield registry
    await registry.close()


async def test_a_write_whose_turn_comes_after_its_caller_was_refused_is_not_done(file: Path, on_file: Registry) -> None:
    """Whoever was refused may have asked elsewhere by then."""
    await Acme.found(on_file)
    on_file._database.answer_seconds = SOON_SECONDS / 10  # of which SQLite, that waits in its own way, knows nothing
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryUnavailable):
            await _added(on_file)
        other.execute("ROLLBACK")
    await asyncio.wait(on_file._database._under_way)
    on_file._database.answer_seconds = SOON_SECONDS
    assert await _people(on_file) == 1


async def test_a_file_that_another_process_writes_to_is_read_and_is_busy_for_writers(
    file: Path, on_file: Registry
) -> None:
    registry = on_file
    acme = await Acme.found(registry)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(_added(registry) for _ in range(10)), return_exceptions=True)
        took_seconds = asyncio.get_running_loop().time() - began
        assert {type(answer) for answer in answers} == {RegistryUnavailable}
        assert took_seconds < within(SOON_SECONDS + SLACK_SECONDS)
        assert len(await registry.members.list(acme.id)) == 1
        other.execute("ROLLBACK")
    await _added(registry)
    assert await _people(registry) == 2, "nothing that was refused was done behind anybody's back"


async def test_a_full_disk_refuses_whole_transactions_and_is_written_to_again_when_there_is_room(
    small_disk: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{small_disk / 'registry.db'}"
    await migrate(url)
    registry = await Registry.open(url)
    acme = await Acme.found(registry)
    await acme.register(acme.jane, "kept")
    before = await _counted(registry)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(_free_bytes(small_disk)))
    refused = None
    for number in range(200):  # what SQLite's log has room for is still taken
        before = await _counted(registry)
        try:
            await acme.register(acme.jane, f"m-{number}")
        except RegistryUnavailable as error:
            refused = error
            break
    assert refused is not None, "the disk was not full"
    assert "full" in refused.message
    assert set(registry.failures) == {"write"}
    assert await _counted(registry) == before, "nothing half-written"
    assert len(await registry.machines.list([acme.id])) >= 1
    ballast.unlink()
    await acme.register(acme.jane, "after")
    assert (await _counted(registry))["machines"] == before["machines"] + 1
    await registry.close()


async def test_a_file_that_may_not_be_written_is_read_all_the_same(file: Path) -> None:
    registry = await Registry.open(f"sqlite+aiosqlite:///{file}")
    acme = await Acme.found(registry)
    async with registry._database.read() as connection:
        await connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(RegistryUnavailable, match="takes no writes"):
        await registry.people.rename(acme.owner.id, "Olga", SYSTEM, START_MS)
    assert (await registry.people.get(acme.owner.id)).name == "Jane"
    assert dict(registry.failures) == {"write": 1}, "an operator sees which of both is refused"
    await registry.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes, where this process may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _free_bytes(place: Path) -> int:
    free = os.statvfs(place)
    return free.f_bavail * free.f_frsize


async def _people(registry: Registry) -> int:
    return (await _counted(registry))["people"]


async def _counted(registry: Registry) -> dict[str, int]:
    counted = {}
    for table in ("people", "machines", "registrations", "changes", "audit"):
        row = await registry._database.row(text(f"SELECT count(*) FROM {table}"))
        assert row is not None
        counted[table] = int(row[0])
    return counted
