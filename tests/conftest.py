"""Keeps every test away from the person who runs it: no variable of theirs, no file of theirs, no chance."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

# The same examples on every run: a test that fails on some machines on some days teaches nobody anything.
settings.register_profile("relay", derandomize=True, deadline=None, database=None)
settings.load_profile("relay")


def pytest_configure(config: pytest.Config) -> None:
    """Let programs under test be interrupted and hung up also where this suite was started to outlive its terminal."""
    # Hypothesis looks whether the module's state has changed meanwhile, and clients in threads draw from it too.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")
    config.addinivalue_line("markers", "alone: measures; tests/run runs it when nothing else does any more")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


# What takes seconds to start is started by one worker, which runs all tests that ask for it: by fixture, their group.
SHARED = {
    "shared_cluster": "cluster",
    "on_postgresql": "postgresql",
    "faults_cluster": "faults",
    "registered": "registry-faults",
}
# The groups that take longest come first, so that no worker is left with one of them when the others are done. The very
# first waits for a minute and a half and does nothing.
LONGEST = (
    "real-time",
    "faults",
    "faults-networks",
    "faults-redis",
    "redis-failover",
    "registry-faults",
    "browser",
    "postgresql",
    "cluster",
    "cli",
    "dev",
    "relay-dev",
    "workers",
    "deploy",
    "faults-alone",
    "redis-cluster",
    "bench",
    "secrets",
    "chart",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep together what shares something expensive, and begin with what takes longest."""
    for item in items:
        shared = SHARED.keys() & getattr(item, "fixturenames", ())
        if shared and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(SHARED[shared.pop()]))
    if config.getoption("loadgroup", False):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    marker = item.get_closest_marker("xdist_group")
    return LONGEST.index(marker.args[0]) if marker is not None and marker.args[0] in LONGEST else len(LONGEST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop where groups are asked for and pytest and xdist do not agree how: tests that share something would meet."""
    if session.config.getoption("loadgroup", False):
        lost = [item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if lost:
            raise pytest.UsageError("this pytest and this xdist leave groups apart: see the pin in pyproject.toml")


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Without RELAY_* variables, and with folders of its own for whatever is kept in a home."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RELAY_")]:
            patch.delenv(name)
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(home / name.lower()))
        yield


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """Two nodes, two sweepers, SQLite, a Valkey of their own: one for all folders whose tests a worker runs."""
    from tests.support.cluster import running_cluster  # not above, for most tests need nothing of the kind
    from tests.support.valkey import running

    with running() as server, running_cluster(server) as cluster:
        yield cluster
