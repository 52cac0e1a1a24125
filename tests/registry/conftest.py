"""Gives every test a registry on each database, and the words to talk about it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.registry import Registry, migrate
from relay.registry.tables import metadata
from tests.registry.acme import Acme
from tests.support.postgres import Postgres
from tests.support.postgres import postgres as postgres

# Deleting a few rows is ten times as fast as truncating twelve tables.
EMPTY = "".join(f"DELETE FROM {table};" for table in reversed(metadata.sorted_tables))
EMPTY += "INSERT INTO counters (name, value) VALUES ('changes', 0)"

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]  # one worker starts a server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite registry that is ready to be copied."""
    path = tmp_path_factory.mktemp("registry") / "template.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres: Postgres) -> str:
    """A PostgreSQL registry that is emptied for every test: a database for each would cost a third of a second."""
    name = asyncio.run(postgres.create())
    asyncio.run(migrate(postgres.url(name)))
    return name


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty registry, migrated."""
    if request.param == "sqlite":
        path = tmp_path / "registry.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite+aiosqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = request.getfixturevalue("migrated_database")
    asyncio.run(server.execute(EMPTY, name))
    yield server.url(name)


@pytest.fixture(params=BOTH)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place for a registry where there is none yet."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = asyncio.run(server.create())
    yield server.url(name)
    asyncio.run(server.drop(name))


@pytest.fixture
async def registry(url: str) -> AsyncIterator[Registry]:
    """An open registry without anybody in it."""
    opened = await Registry.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def acme(registry: Registry) -> Acme:
    """The workspace acme, whose owner is Jane."""
    return await Acme.found(registry)
