"""Shows that a relay runs on a database in which it may change rows and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from relay.registry import migrate
from tests.support.cluster import running_cluster
from tests.support.postgres import Postgres, postgres, url_at
from tests.support.valkey import running

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
def test_the_whole_story_changes_rows_alone(postgres: Postgres, prepared: str) -> None:
    """Found, join, register, run, rename, revoke, and read who did it."""
    url = url_at(postgres.folder, prepared, user="relay_run")
    with running() as server, running_cluster(server, url, nodes=1, sweepers=1) as cluster:
        team = cluster.team()
        member = team.person("Mo", "member")
        agent = team.agent("builder")
        machine = team.machine("builder")
        done = cluster.cli(team.key, "exec", machine["id"], "--", "echo", "hello")
        assert done.stdout == "hello\n", done.stderr
        team.owner("PATCH", f"/api/machines/{machine['id']}", {"name": "renamed"})
        team.owner("DELETE", f"/api/machines/{machine['id']}")
        assert agent.ends() == 0
        member("POST", "/api/sign-out", {})
        entries = team.owner("GET", f"/api/workspaces/{team.workspace}/audit")["entries"]
        assert "machine.revoked" in {each["action"] for each in entries}
        for part in (*cluster.nodes, *cluster.sweepers):
            assert "permission denied" not in part.output()


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
