"""Runs the cluster that faults are done to on a Redis that has faults of its own: a Redis Cluster, or sentinels."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from tests.faults.cluster import FaultCluster
from tests.faults.proxy import Lender, proxies
from tests.support.valkey import Valkey


class OnServers(FaultCluster):
    """Its parts find Redis by themselves; there is no proxy on that way, and no single server."""

    def __init__(self, url: str, folder: Path, lend: Lender) -> None:
        super().__init__(cast(Valkey, None), f"sqlite+aiosqlite:///{folder}/relay.db", folder, lend)
        self._url = url

    def redis_url(self, part: str) -> str:
        """The same for all."""
        return self._url


@contextmanager
def on_servers(url: str, nodes: int = 2) -> Iterator[OnServers]:
    """A cluster in a temporary folder with a registry in SQLite."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    with proxies() as lend:
        cluster = OnServers(url, folder, lend)
        try:
            cluster.start(nodes=nodes, sweepers=1)
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)
