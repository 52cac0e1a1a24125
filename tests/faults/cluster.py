"""Runs the cluster that faults are done to: three nodes behind proxies, each with its own proxy to Redis, and machines.

Whatever a scenario breaks, `heal` mends: proxies, frozen and ended processes. So one cluster serves all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.proxy import Lender, Proxy, proxies
from tests.support.cluster import Cluster, Part, Team
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
NODES = 3
DRAIN_SECONDS = 2.0  # long enough to see that closes are spread, short enough for a rolling restart in a test
_CONNECTED = re.compile(r"machine='([^']+)' event='connected' .*?node='([^']+)'")


class Machines(Part):
    """Several machines in one process, with real agents."""

    def node_of(self, name: str) -> str:
        """The address of the node that a machine was welcomed by last."""
        return self.nodes()[name]

    def nodes(self) -> dict[str, str]:
        """The same of all machines that were ever welcomed."""
        return dict(_CONNECTED.findall(self.output()))

    def welcomes(self, name: str) -> int:
        """How often a machine was welcomed so far."""
        return sum(each == name for each, _node in _CONNECTED.findall(self.output()))


class FaultCluster(Cluster):
    """A cluster that can be spoiled: `front` of each node, its way to `redis`, and the processes themselves."""

    def __init__(self, valkey: Valkey, database_url: str, folder: Path, lend: Lender) -> None:
        super().__init__(valkey, database_url, folder)
        self.lend = lend
        self._fronts: dict[str, Proxy] = {}
        self._redis: dict[str, Proxy] = {}
        self._machines: list[Machines] = []

    def address(self, port: int) -> str:
        """Of the proxy before it."""
        proxy = self.lend.to(("127.0.0.1", port))
        self._fronts[proxy.url] = proxy
        return proxy.url

    def redis_url(self, part: str) -> str:
        """Of this part's own proxy."""
        proxy = self._redis[part] = self.lend.to(str(self.valkey.socket), redis=True)
        return f"redis://127.0.0.1:{proxy.port}/0"

    def front(self, url: str) -> Proxy:
        """What stands before a node: between it and all of its peers."""
        return self._fronts[url]

    def redis(self, url: str) -> Proxy:
        """What stands between a node and Redis."""
        return self._redis[self.node_at(url).name]

    def redis_of(self, part: Part) -> Proxy:
        """The same of any part, such as a sweeper."""
        return self._redis[part.name]

    def machines(self, team: Team, *names: str) -> Machines:
        """Machines of a team, connected."""
        home = Path(tempfile.mkdtemp(prefix="machines-", dir=self.folder))
        environment = {
            "HOME": str(home),
            "RELAY_CONFIG_DIR": str(home / "config"),
            "RELAY_URL": ",".join(self.urls),
            "RELAY_TOKEN": team.key,
        }
        arguments = ["tests.faults.machines", str(home), *names]
        machines = Machines("machines", self.folder, arguments, environment)
        self._machines.append(machines)
        machines.says("event='connected'", times=len(names))
        return machines

    def kill_machines(self) -> None:
        """End all machines that still run, such as those of a scenario that failed."""
        for machines in self._machines:
            machines.kill()

    def heal(self) -> None:
        """Undo every fault: when this returns, all parts run and all nodes are ready."""
        self.lend.heal()
        for part in (*self.nodes, *self.sweepers):
            if part.process.poll() is None:
                part.thaw()
            else:
                part.start_again()
        for url in self.urls:
            self.wait_ready(url)


@contextmanager
def fault_cluster(valkey: Valkey, database_url: str | None = None, **how: Any) -> Iterator[FaultCluster]:
    """A cluster in a temporary folder, on SQLite unless another registry is named; `how` goes to its `start`."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    with proxies() as lend:
        cluster = FaultCluster(valkey, database_url or f"sqlite+aiosqlite:///{folder}/relay.db", folder, lend)
        how["settings"] = {"RELAY_DRAIN_SECONDS": str(DRAIN_SECONDS)} | dict(how.get("settings") or {})
        how.setdefault("nodes", NODES)
        try:
            cluster.start(**how)
            yield cluster
        finally:
            cluster.stop()
            cluster.kill_machines()
            if "FAULTS_KEEP" in os.environ:  # for whoever looks for the cause of a violation
                print(f"logs are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
