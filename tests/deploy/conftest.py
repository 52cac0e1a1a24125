"""Shares one balanced cluster among the tests of the proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.balanced import Balanced, balanced_cluster
from tests.support.valkey import running


@pytest.fixture(scope="session")
def _balanced() -> Iterator[Balanced]:
    """Two nodes behind HAProxy, nginx and Caddy, all of them real."""
    with running() as server, balanced_cluster(server) as cluster:
        yield cluster


@pytest.fixture
def balanced(_balanced: Balanced) -> Iterator[Balanced]:
    """The shared cluster, without the agents of earlier tests."""
    yield _balanced
    _balanced.stop_agents()
