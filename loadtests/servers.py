"""Starts a cluster of its own on this machine for one load test, or takes the one that was named."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from relay.client.profile import Profile
from relay.dev.cluster import Cluster, Plan
from relay.dev.folder import DataFolder
from relay.dev.supervisor import Supervisor
from tests.support import ports


@dataclass(frozen=True)
class Servers:
    """Where the cluster is, and who we are there. All from `redis_url` on is known only for a cluster of our own."""

    urls: list[str]
    token: str
    workspace: str
    redis_url: str = ""
    database_url: str = ""
    secret: str = ""
    pids: Mapping[str, int] = field(default_factory=dict)  # by part: engine, node-1, ..., sweeper, sweeper-2, ...
    pids_now: Callable[[], Mapping[str, int]] = dict  # the same after parts have ended and come back
    metrics: Mapping[str, str] = field(default_factory=dict)  # by node: where it serves its metrics, if it was asked to

    @property
    def ours(self) -> bool:
        """Whether rows and keys may be written behind the nodes' backs."""
        return bool(self.secret)


@dataclass(frozen=True)
class Asked:
    """How a cluster of our own differs from one of `relay dev`."""

    told: Mapping[str, str] = field(default_factory=dict)  # further variables of each node
    program: tuple[str, ...] = ()  # what is run as a node; empty: `relay node`
    sweepers: int = 1
    ends: frozenset[int] = frozenset()  # exit codes after which a node is not started again
    metrics: bool = False  # whether nodes serve their metrics


@asynccontextmanager
async def own_servers(nodes: int, asked: Asked = Asked()) -> AsyncIterator[Servers]:
    """An engine, so many nodes and sweepers in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="relay-load-") as path:
        folder = DataFolder(Path(path) / "data")
        first = free_ports(2 * nodes if asked.metrics else nodes)
        plan = Plan(nodes, first, folder.path, open_browser=False)
        metrics = {f"node-{index + 1}": first + nodes + index for index in range(nodes)} if asked.metrics else {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        cluster = Cluster(plan, folder, kept | {"RELAY_LOG_LEVEL": "warning"})
        with folder.held():
            async with Supervisor(folder.logs, say) as supervisor:
                redis_url = await cluster.start_engine(supervisor)
                async with cluster.founder() as founder:
                    founded = await founder.found("load", "load")
                    profile = Profile(Path(path) / "profile")
                    await founder.sign_in_cli(profile, plan.urls, founded)
                for index in range(nodes):
                    node = cluster.node(index, redis_url)
                    environ = {**node.environ, **asked.told}
                    if asked.metrics:
                        environ["RELAY_METRICS_PORT"] = str(metrics[node.name])
                    node = replace(node, environ=environ, command=asked.program or node.command)
                    await supervisor.start(replace(node, final=node.final | asked.ends))
                for index in range(asked.sweepers):
                    sweeper = cluster.sweeper(redis_url)
                    await supervisor.start(replace(sweeper, name=f"{sweeper.name}-{index + 1}" if index else "sweeper"))
                login = profile.login()
                assert login is not None
                secret = folder.secret.read_text(encoding="ascii")
                yield Servers(
                    plan.urls,
                    login.token,
                    founded.workspace.id,
                    redis_url,
                    cluster.database_url,
                    secret,
                    supervisor.pids,
                    lambda: supervisor.pids,
                    {name: f"http://127.0.0.1:{port}/metrics" for name, port in metrics.items()},
                )


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on, and that nobody else is given while we live; raises
    `AssertionError` when there are none."""
    return ports.free_ports(count)[0]


def say(name: str, sentence: str) -> None:
    """What a part has to tell, on standard error: numbers go to standard output."""
    print(f"{name}: {sentence}", file=sys.stderr)
