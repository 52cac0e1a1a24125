"""Runs the cluster that faults are done to on a registry that has faults of its own: two PostgreSQL servers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cluster import FaultCluster
from tests.faults.proxy import Lender, Proxy, proxies
from tests.support.postgres_pair import Pair
from tests.support.valkey import Valkey

SOCKET = ".s.PGSQL.5432"
TRUST_SECONDS = 2.0  # so that no scenario waits as long as operators do


class OnPostgres(FaultCluster):
    """Each part has its own way to the registry, which may be cut."""

    def __init__(self, pair: Pair, valkey: Valkey, folder: Path, lend: Lender) -> None:
        super().__init__(valkey, "", folder, lend)
        self.pair = pair
        self._registries: dict[str, Proxy] = {}

    def _environment(self, part: str) -> dict[str, str]:
        proxy = self._registries[part] = self.lend.to(str(self.pair.address / SOCKET))
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/postgres"
        return super()._environment(part) | {"RELAY_DATABASE_URL": url}

    def registry(self, url: str) -> Proxy:
        """What stands between a node and the registry."""
        return self._registries[self.node_at(url).name]

    def registries(self) -> list[Proxy]:
        """What stands between all parts and the registry."""
        return list(self._registries.values())


@contextmanager
def on_postgres(pair: Pair, valkey: Valkey) -> Iterator[OnPostgres]:
    """Two nodes and two sweepers in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    with proxies() as lend:
        cluster = OnPostgres(pair, valkey, folder, lend)
        settings = {"RELAY_DRAIN_SECONDS": "2", "RELAY_REVOCATION_TRUST_SECONDS": str(TRUST_SECONDS)}
        try:
            cluster.start(nodes=2, sweepers=2, settings=settings)
            yield cluster
        finally:
            cluster.stop()
            if "FAULTS_KEEP" in os.environ:
                print(f"logs are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)


def cut(proxy: Proxy) -> None:
    """End what goes through a proxy, and let nobody through."""
    proxy.refuse()
    proxy.reset()
