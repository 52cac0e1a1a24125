"""Shows what people notice when the registry is a file that somebody locks or a disk that is full."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.faults.caller import HEALED_SECONDS, Caller, impaired, reads_are_served
from tests.faults.cluster import FaultCluster, Machines
from tests.support.cluster import Team


async def test_a_locked_file_serves_what_is_read_and_refuses_what_is_written(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines
) -> None:
    """SQLite: another program has the file to itself, for a backup, say."""
    laptop = {each["name"]: each["id"] for each in faults_team.machines()}["laptop"]
    caller = Caller(cluster.urls[0], faults_team.owner.token)
    assert (await caller("GET", "/api/machines")).is_success
    with closing(sqlite3.connect(cluster.folder / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            path = f"/api/machines/{laptop}"
            await caller.is_refused_for_the_registry("PATCH", path, {"labels": {"written": "no"}})
        await reads_are_served([caller], faults_team.workspace)
        assert await impaired(cluster.urls[0]) == []
        other.execute("ROLLBACK")
    took = await caller.until_it_works("PATCH", f"/api/machines/{laptop}", {"labels": {"written": "yes"}})
    assert took <= HEALED_SECONDS
    await caller.close()
