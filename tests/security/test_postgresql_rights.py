"""Shows what a database refuses in which a relay may change rows and nothing else; that it needs no more is shown with
its rights in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from relay.registry import migrate
from tests.support.postgres import Postgres, postgres

RIGHTS = Path(__file__).parents[2] / "deploy" / "postgresql-rights.sql"
REFUSED = [
    "DROP TABLE machines",
    "CREATE TABLE loot (x int)",
    "ALTER TABLE credentials DISABLE ROW LEVEL SECURITY",
    "TRUNCATE audit",
    "DELETE FROM audit",
    "UPDATE audit SET action = 'nothing'",
    "UPDATE alembic_version SET version_num = '9999'",
    "CREATE ROLE friend SUPERUSER",
    "COPY machines TO PROGRAM 'cat'",
]

__all__ = ["postgres"]


@pytest.fixture
def prepared(postgres: Postgres) -> Iterator[str]:
    """A database whose tables belong to somebody else than the nodes' user."""

    async def prepare() -> str:
        database = await postgres.create()
        await migrate(postgres.url(database))
        await postgres.execute("CREATE ROLE relay_run LOGIN")
        await postgres.execute(RIGHTS.read_text().replace(":run", "relay_run"), database)
        return database

    async def clear() -> None:
        await postgres.drop(database)
        await postgres.execute("DROP ROLE relay_run")

    database = asyncio.run(prepare())
    yield database
    asyncio.run(clear())


@pytest.mark.xdist_group("postgresql")
async def test_whoever_takes_a_node_over_cannot_alter_a_table_or_the_audit_trail(
    postgres: Postgres, prepared: str
) -> None:
    thief = await asyncpg.connect(user="relay_run", database=prepared, host=str(postgres.folder))
    try:
        for statement in REFUSED:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await thief.execute(statement)
    finally:
        await thief.close()
