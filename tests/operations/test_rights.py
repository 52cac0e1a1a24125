"""Says in one line what the user of nodes may not do to a registry, and who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.errors import Misconfigured
from relay.registry import Backup, Registry, back_up, migrate, restore
from tests.registry.acme import START_MS, Acme
from tests.support.postgres import Postgres, url_at

pytestmark = pytest.mark.xdist_group("postgresql")
RIGHTS = Path(__file__).parents[2] / "deploy" / "postgresql-rights.sql"


@pytest.fixture
async def runtime(postgres: Postgres) -> AsyncIterator[str]:
    """The registry of a cluster, in the hands of the user that its nodes have."""
    database = await postgres.create()
    await migrate(postgres.url(database))
    await postgres.execute("CREATE ROLE relay_nodes LOGIN")
    await postgres.execute(RIGHTS.read_text().replace(":run", "relay_nodes"), database)
    yield url_at(postgres.folder, database, "relay_nodes")
    await postgres.drop(database)
    await postgres.execute("DROP ROLE relay_nodes")


async def test_only_the_owner_of_the_tables_empties_the_audit_trail_or_replaces_the_registry(
    runtime: str, tmp_path: Path
) -> None:
    registry = await Registry.open(runtime)
    acme = await Acme.found(registry)
    await back_up(runtime, tmp_path / "backup", acme.now_ms)
    with pytest.raises(Misconfigured) as refused:
        await registry.pruning.prune({"audit entries": acme.later()})
    assert refused.value.message == (
        "the user of RELAY_DATABASE_URL may not delete rows of audit: do it with the name of the tables' owner"
    )
    with pytest.raises(Misconfigured, match="may not replace what the registry holds"):
        await restore(runtime, Backup.open(tmp_path / "backup"), START_MS, replace=True)
    assert await registry.workspaces.first() is not None
    await registry.close()


async def test_only_the_owner_of_the_tables_makes_newer_ones(runtime: str, postgres: Postgres) -> None:
    database = runtime.partition("@/")[2].partition("?")[0]
    await postgres.execute("DROP TABLE charter, rhythms; UPDATE alembic_version SET version_num = '0001'", database)
    with pytest.raises(Misconfigured, match=r"may not bring its tables to version 0003 \(relay admin bootstrap does\)"):
        await migrate(runtime)
    await migrate(postgres.url(database))
    registry = await Registry.open(runtime)  # a node that starts then: the rights of that day are also for newer tables
    assert (await registry.charter(START_MS)).id
    await registry.close()
