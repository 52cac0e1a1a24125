"""Runs a cluster of two nodes behind three proxies, any of which serves everybody."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.deploy.proxies import NAMES, Proxy, running_proxies
from tests.support.cluster import Agent, Cluster, Team
from tests.support.ports import free_ports
from tests.support.valkey import Valkey

# Health checks need 1.3 s to notice a drain; this leaves them twice that.
DRAIN_SECONDS = 3.0


class Balanced(Cluster):
    """A cluster whose nodes are reached through proxies."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        super().__init__(valkey, f"sqlite+aiosqlite:///{folder}/relay.db", folder)
        self.ports = free_ports(2 * len(NAMES))
        self.origins = [f"https://127.0.0.1:{port}" for port in self.ports[1::2]]
        self.proxies: dict[str, Proxy] = {}

    def _environment(self, part: str) -> dict[str, str]:
        return super()._environment(part) | {
            "RELAY_ALLOWED_ORIGINS": ",".join([*self.origins, *self.urls]),
            "RELAY_TRUSTED_PROXIES": "127.0.0.1",
            "RELAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }

    def agent_through(self, proxy: Proxy, team: Team, name: str) -> Agent:
        """A machine whose agent knows the proxy's address only, connected."""
        home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        environment = {
            "HOME": str(home),
            "RELAY_CONFIG_DIR": str(home / "config"),
            "RELAY_URL": proxy.url,
            "RELAY_TOKEN": team.key,
            "SSL_CERT_FILE": str(proxy.authority),
        }
        agent = Agent(f"agent-{name}", self.folder, ["relay.cli", "serve", "--name", name], environment)
        self.agents.append(agent)
        agent.says("  connected  node=")
        return agent


@contextlib.contextmanager
def balanced_cluster(valkey: Valkey, settings: Mapping[str, str] | None = None) -> Iterator[Balanced]:
    """Two nodes and the three proxies, in a temporary folder. Nodes say that HAProxy's address is theirs."""
    folder = Path(tempfile.mkdtemp(prefix="balanced-", dir="/tmp"))
    cluster = Balanced(valkey, folder)
    try:
        cluster.start(sweepers=0, settings={"RELAY_PUBLIC_URL": cluster.origins[0]})
        nodes = [url.removeprefix("http://") for url in cluster.urls]
        with running_proxies(folder, cluster.ports, nodes) as cluster.proxies:
            yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
