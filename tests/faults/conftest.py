"""Shares one cluster for faults among the scenarios of a worker; each scenario leaves it healed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import FaultCluster, Machines, fault_cluster
from tests.faults.on_postgres import OnPostgres, on_postgres
from tests.support.cluster import Team
from tests.support.postgres import Postgres
from tests.support.postgres import postgres as postgres
from tests.support.postgres_pair import Pair
from tests.support.valkey import _valkey, running, valkey

__all__ = ["_valkey", "valkey"]

MACHINES = ("builder", "laptop", "studio")


@pytest.fixture(scope="session")
def faults_cluster() -> Iterator[FaultCluster]:
    """Three nodes behind proxies, two sweepers, SQLite, a Valkey of their own."""
    with running() as server, fault_cluster(server) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def faults_team(faults_cluster: FaultCluster) -> Team:
    """The workspace that all scenarios share."""
    return faults_cluster.team()


@pytest.fixture(scope="session")
def faults_machines(faults_cluster: FaultCluster, faults_team: Team) -> Iterator[Machines]:
    """Three machines that live through all scenarios."""
    machines = faults_cluster.machines(faults_team, *MACHINES)
    yield machines
    machines.kill()


@pytest.fixture
def cluster(faults_cluster: FaultCluster) -> Iterator[FaultCluster]:
    """The shared cluster, healed before and after."""
    yield faults_cluster
    faults_cluster.heal()


@pytest.fixture
def seed() -> int:
    """What everything random of a scenario follows from."""
    return int(os.environ.get("FAULTS_SEED", "1"))


@pytest.fixture(scope="session")
def pair(postgres: Postgres) -> Iterator[Pair]:
    """Two servers; `postgres` has shown that there can be any."""
    with tempfile.TemporaryDirectory(prefix="relay-pg-") as folder:
        servers = Pair(Path(folder))
        yield servers
        servers.throw_away()


@pytest.fixture(scope="session")
def registered(pair: Pair) -> Iterator[OnPostgres]:
    """The cluster on them."""
    with running() as server, on_postgres(pair, server) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def members(registered: OnPostgres) -> Team:
    """The workspace of all scenarios."""
    return registered.team()


@pytest.fixture(scope="session")
def two(registered: OnPostgres, members: Team) -> Iterator[Machines]:
    """Two machines that live through all scenarios."""
    machines = registered.machines(members, "builder", "laptop")
    yield machines
    machines.kill()


@pytest.fixture
def on_pair(registered: OnPostgres) -> Iterator[OnPostgres]:
    """The cluster, healed after each scenario."""
    yield registered
    registered.heal()
