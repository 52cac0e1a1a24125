"""Gives every test of operations a registry with a story in it, and an empty place to bring it to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.conftest import acme as acme
from tests.registry.conftest import migrated_database as migrated_database
from tests.registry.conftest import migrated_file as migrated_file
from tests.registry.conftest import registry as registry
from tests.registry.conftest import url as url
from tests.support.postgres import Postgres
from tests.support.postgres import postgres as postgres
from tests.support.valkey import keys as keys


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place for another registry, where there is none yet: on the database that `url` is not on, if there is one."""
    url = request.getfixturevalue("url") if "url" in request.fixturenames else "postgresql"
    if url.startswith("postgresql"):
        yield f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = asyncio.run(server.create())
    yield server.url(name)
    asyncio.run(server.drop(name))


@pytest.fixture
def beside(migrated_file: Path, tmp_path: Path) -> str:
    """An empty registry beside the first, for what is the same on either database."""
    shutil.copy(migrated_file, tmp_path / "beside.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'beside.db'}"
