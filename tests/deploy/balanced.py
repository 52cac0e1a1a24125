"""Runs a cluster of two nodes behind three proxies, any of which serves everybody."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.deploy.proxies import NAMES, Ground, Proxy, running_proxies
from tests.support.cluster import Agent, Cluster, Team
from tests.support.ports import free_ports
from tests.support.valkey import Valkey

# Health checks need 1.3 s to notice a drain; this leaves them twice that.
DRAIN_SECONDS = 3.0


class Balanced(Cluster):
    """A cluster whose nodes are reached through proxies."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        super().__init__(valkey, f"sqlite+aiosqlite:///{folder}/relay.db", folder)
        self.ports = free_ports(2 * len(NAMES) + 2)  # the last two are for a proxy of one test's own
        self.origins = [f"https://127.0.0.1:{port}" for port in self.ports[1::2]]
        self.proxies: dict[str, Proxy] = {}

    def _environment(self, part: str) -> dict[str, str]:
        return super()._environment(part) | {
            "RELAY_ALLOWED_ORIGINS": ",".join([*self.origins, *self.urls]),
            "RELAY_TRUSTED_PROXIES": "127.0.0.1",
            "RELAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }

    @contextlib.contextmanager
    def another(self, name: str, changes: Mapping[str, str]) -> Iterator[Proxy]:
        """One more proxy of this name, with these changes to what is committed."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        http, https = self.ports[-2:]
        proxy = Proxy(name, Ground(folder, self.proxies[name].authority, http, https, self.addresses), changes)
        try:
            proxy.wait_ready()
            yield proxy
        finally:
            proxy.stop()

    @property
    def addresses(self) -> list[str]:
        """Where the nodes listen, as configurations write it."""
        return [url.removeprefix("http://") for url in self.urls]

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
        with running_proxies(folder, cluster.ports, cluster.addresses) as cluster.proxies:
            yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
