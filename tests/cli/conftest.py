"""Gives command line tests a real cluster, a machine, and a person's own config folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.person import Person
from tests.support.cluster import Cluster, Team, running_cluster
from tests.support.valkey import running


@pytest.fixture(scope="session")
def cli_cluster() -> Iterator[Cluster]:
    """Two nodes on a Valkey of their own."""
    with running() as server, running_cluster(server) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def acme(cli_cluster: Cluster) -> Team:
    """A workspace with one machine, `mac-studio`, that no test revokes."""
    team = cli_cluster.team("acme")
    team.agent("mac-studio")
    return team


@pytest.fixture
def jane(acme: Team, tmp_path: Path) -> Person:
    """Somebody signed in by the environment, in the shared workspace."""
    return Person(tmp_path / "jane", acme.cluster.urls, acme.owner.token, acme.workspace)


@pytest.fixture
def fresh(cli_cluster: Cluster) -> Iterator[Team]:
    """A workspace of the test's own, whose agents end with the test."""
    before = len(cli_cluster.agents)
    yield cli_cluster.team()
    for agent in cli_cluster.agents[before:]:
        agent.kill()
    del cli_cluster.agents[before:]


@pytest.fixture
def owner(fresh: Team, tmp_path: Path) -> Person:
    """The owner of the test's own workspace."""
    return Person(tmp_path / "owner", fresh.cluster.urls, fresh.owner.token, fresh.workspace)
