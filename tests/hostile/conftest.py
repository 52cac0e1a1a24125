"""Shares one running cluster among hostile peers, and one pair of neighbours who must notice none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import cluster, team
from tests.hostile.attacker import Attacker
from tests.hostile.neighbours import Neighbours
from tests.support.bare import BareMachine
from tests.support.cluster import Cluster, Team
from tests.support.metrics import Metrics
from tests.support.valkey import _valkey

__all__ = ["_valkey", "cluster", "team"]


@pytest.fixture
def attacked(shared_cluster: Cluster) -> str:
    """The node that hostile peers come to."""
    return shared_cluster.urls[1]


@pytest.fixture
def metrics(shared_cluster: Cluster, attacked: str) -> Metrics:
    """What it counts from here on."""
    return Metrics(shared_cluster, attacked)


@pytest.fixture(scope="module")
def crowd(shared_cluster: Cluster) -> Team:
    """The workspace of everybody in a module."""
    return shared_cluster.team()


@pytest.fixture(scope="module")
def neighbours(shared_cluster: Cluster, crowd: Team) -> Iterator[Neighbours]:
    """An honest agent and an honest browser on the attacked node, the same for all tests of a module."""
    with Neighbours.living(BareMachine(crowd, "honest"), shared_cluster.urls[1]) as found:
        yield found


@pytest.fixture(scope="module")
def machine(crowd: Team) -> Attacker:
    """A machine for which a hostile agent speaks."""
    return Attacker(crowd)
