"""Shares one running cluster among the tests of a worker; each test brings its own team."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import browser as browser
from tests.support.cluster import Cluster, Team
from tests.support.postgres import postgres as postgres


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster, without the agents of earlier tests."""
    yield shared_cluster
    shared_cluster.stop_agents()


@pytest.fixture
def team(cluster: Cluster) -> Team:
    """A fresh workspace."""
    return cluster.team()
