"""Shares one cluster for faults among the scenarios of a worker; each scenario leaves it healed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.cluster import FaultCluster, Machines, fault_cluster
from tests.support.cluster import Team
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
