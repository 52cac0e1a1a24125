"""Says that a registry comes to be and grows, whoever starts first, and that a newer one is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from relay.errors import Misconfigured
from relay.registry import Registry, migrate
from relay.registry.database import Database
from relay.registry.migrate import HEAD, MIGRATIONS
from relay.registry.tables import metadata
from tests.registry.acme import START_MS

MIGRATE = "import asyncio, sys; from relay.registry import migrate; asyncio.run(migrate(sys.argv[1]))"


async def test_a_migrated_registry_has_exactly_the_tables_that_the_code_declares(bare_url: str) -> None:
    await migrate(bare_url)

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    engine = create_async_engine(bare_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_migrating_again_keeps_everything(bare_url: str) -> None:
    for _ in range(2):
        await migrate(bare_url)
    registry = await Registry.open(bare_url)
    founded = await registry.workspaces.bootstrap("acme", "Jane", START_MS)
    await migrate(bare_url)
    assert await registry.workspaces.first() == founded
    await registry.close()


async def test_several_processes_may_migrate_at_once(bare_url: str) -> None:
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", MIGRATE, bare_url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    ended = await asyncio.gather(*[process.communicate() for process in started])
    assert [(process.returncode, error) for process, (_, error) in zip(started, ended, strict=True)] == [(0, b"")] * 3
    registry = await Registry.open(bare_url)
    assert await registry.changes.latest() == 0
    await registry.close()


async def test_a_registry_that_was_not_migrated_is_not_opened(bare_url: str) -> None:
    with pytest.raises(Misconfigured, match="migrate it first"):
        await Registry.open(bare_url)


async def test_a_registry_of_newer_code_is_neither_migrated_nor_opened(bare_url: str) -> None:
    await migrate(bare_url)
    database = Database(bare_url)
    async with database.exclusive() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    for refusing in (migrate(bare_url), Registry.open(bare_url)):
        with pytest.raises(Misconfigured, match="newer Relay: it is at version 9999"):
            await refusing


def test_the_newest_step_is_the_one_that_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_a_file_that_is_no_registry_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes " * 100)
    with pytest.raises(Misconfigured, match=r"notes\.txt, which is no registry"):
        await migrate(f"sqlite+aiosqlite:///{path}")


async def test_a_path_that_is_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be used"):
        await migrate(f"sqlite+aiosqlite:///{tmp_path}")


async def test_a_sqlite_registry_is_its_owners_alone_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    await migrate(f"sqlite+aiosqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.read() as reading:
        found = [(await reading.execute(text(f"PRAGMA {name}"))).scalar() for name in ("synchronous", "foreign_keys")]
    assert found == [2, 1]
    await database.close()
