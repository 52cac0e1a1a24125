"""Takes the relay that a run loads: a cluster that is started for it here, or one that runs already and was named."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

from loadtests.servers import Asked, Servers, own_servers
from relay.client.addresses import LOOPBACK
from relay.client.api import api
from relay.client.profile import canonical_url
from relay.errors import Misconfigured, RelayError

USAGE = 64
PLENTY = "1000000"  # handshakes a second that nodes of our own accept: how many they can is what is asked
NODE = "node-"


class Wanted(NamedTuple):
    """Which relay, as the command line said it; without a URL a cluster of our own with so many nodes."""

    urls: list[str]
    token_file: Path | None
    ours: bool  # "I own this"
    metrics: list[str]  # where nodes of a relay that runs already serve their metrics
    nodes: int
    told: Mapping[str, str]  # further settings of nodes of our own


@dataclass(frozen=True)
class Target:
    """Where the relay is, who we are there, and what of it can be watched from here."""

    urls: list[str]
    token: str
    workspace: str
    own: bool
    pids: Callable[[], Mapping[str, int]] = dict  # of its processes, by name
    metrics: Mapping[str, str] = field(default_factory=dict)  # by node
    servers: Servers | None = None  # of a cluster of our own: its registry, and the secret that signs its tokens

    @property
    def local(self) -> bool:
        """Whether it is on this host, where we may come from many addresses."""
        return all(urlsplit(url).hostname in LOOPBACK for url in self.urls)

    def node(self, index: int) -> str:
        """The name of the node at this URL, counted from 0."""
        return f"{NODE}{index + 1}"

    def signal(self, index: int, number: signal.Signals) -> None:
        """Send a signal to a node of our own."""
        assert self.own, "others' processes are theirs"
        os.kill(self.pids()[self.node(index)], number)


def check(wanted: Wanted) -> Wanted:
    """The same, with sound addresses. Ends the program with 64 and one sentence if it must not be loaded: a load test
    that strikes a stranger's relay is an attack."""
    try:
        urls = [canonical_url(url) for url in wanted.urls]
    except Misconfigured as error:
        _refuse(error.message)
    foreign = [url for url in urls if urlsplit(url).hostname not in LOOPBACK]
    if foreign and not wanted.ours:
        _refuse(f"{foreign[0]} is not on this machine: say --i-own-this if you may load it")
    if urls and wanted.token_file is None and not os.environ.get("RELAY_TOKEN"):
        _refuse("--url needs --token-file, or a token in RELAY_TOKEN")
    if wanted.token_file is not None and not wanted.token_file.is_file():
        _refuse(f"{wanted.token_file}: there is no such file")
    return wanted._replace(urls=urls)


@asynccontextmanager
async def target(wanted: Wanted) -> AsyncIterator[Target]:
    """The relay, for as long as the run lasts."""
    if not wanted.urls:
        asked = Asked(told={"RELAY_HANDSHAKES": PLENTY, **wanted.told}, sweepers=2, metrics=True)
        async with own_servers(wanted.nodes, asked) as servers:
            yield _own(servers)
        return
    token = wanted.token_file.read_text(encoding="utf-8").strip() if wanted.token_file else os.environ["RELAY_TOKEN"]
    try:
        async with api(wanted.urls, token) as caller:
            workspaces = (await caller.get("/api/me"))["workspaces"]
    except RelayError as error:
        _refuse(error.message)
    metrics = {f"{NODE}{number}": url for number, url in enumerate(wanted.metrics, 1)}
    yield Target(wanted.urls, token, workspaces[0]["id"], own=False, metrics=metrics)


def _own(servers: Servers) -> Target:
    return Target(
        servers.urls,
        servers.token,
        servers.workspace,
        own=True,
        pids=servers.pids_now,
        metrics=servers.metrics,
        servers=servers,
    )


def _refuse(sentence: str) -> NoReturn:
    print(f"relay: {sentence}", file=sys.stderr)
    raise SystemExit(USAGE)
