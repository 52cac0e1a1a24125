"""Gives sweepers a real registry and a real Valkey, on which machines live."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from relay.registry import Registry, migrate
from relay.store import Keys
from tests.support.valkey import Valkey, _standing_valkey, keys, standing_redis, standing_valkey
from tests.workers.fleet import Fleet

__all__ = ["_standing_valkey", "keys", "standing_redis", "standing_valkey"]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite registry that is ready to be copied."""
    path = tmp_path_factory.mktemp("registry") / "template.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """A registry of this test's own."""
    path = tmp_path / "registry.db"
    shutil.copy(migrated, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def fleet(database_url: str, standing_redis: Redis, standing_valkey: Valkey, keys: Keys) -> AsyncIterator[Fleet]:
    """A workspace with machines whose node this test plays."""
    registry = await Registry.open(database_url)
    yield await Fleet.found(registry, standing_redis, standing_valkey, keys)
    await registry.close()
