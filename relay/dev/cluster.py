"""Runs a whole cluster on this machine: engine, nodes, sweeper and an agent, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.client.profile import Profile, config_folder
from relay.dev import engine, screen
from relay.dev.folder import DataFolder
from relay.dev.founding import Founder
from relay.dev.part import Part
from relay.dev.readiness import is_online, is_ready
from relay.dev.supervisor import Supervisor
from relay.errors import Exit, Misconfigured

HOST = "127.0.0.1"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What the parts inherit of our own RELAY_* variables; all others are theirs to be told.
KEPT_VARIABLES = ("RELAY_LOG_LEVEL", "RELAY_DATABASE_URL")
# Exit codes of an agent that chose to end: a goodbye, replaced, denied, misconfigured.
AGENT_FINAL = frozenset({Exit.OK, Exit.REPLACED, Exit.DENIED, Exit.CONFIGURATION})


@dataclass(frozen=True)
class Plan:
    """What `relay dev` was asked for."""

    nodes: int
    port: int
    data: Path
    open_browser: bool

    @property
    def urls(self) -> list[str]:
        """Where the nodes listen, first the one that people are sent to."""
        return [f"http://{HOST}:{self.port + index}" for index in range(self.nodes)]


async def run(plan: Plan, environ: Mapping[str, str] = os.environ) -> None:
    """Run until Ctrl-C or SIGTERM; raises `Misconfigured` for what keeps a part from starting."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup relay dev &` is to outlive its terminal
            loop.add_signal_handler(number, stop.set)
    folder = DataFolder(plan.data)
    with folder.held():
        _check_ports(plan)
        cluster = Cluster(plan, folder, environ)
        async with Supervisor(folder.logs, screen.say) as supervisor:
            working = asyncio.create_task(cluster.work(supervisor))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                for task in (working, stopping):
                    task.cancel()
                await asyncio.gather(working, stopping, return_exceptions=True)
                screen.stopping()


class Cluster:
    """The parts of one cluster and the order in which they start."""

    def __init__(self, plan: Plan, folder: DataFolder, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._folder = folder
        self._environ = environ
        self.database_url = environ.get("RELAY_DATABASE_URL") or f"sqlite+aiosqlite:///{folder.database}"

    async def work(self, supervisor: Supervisor) -> None:
        """Start every part, let the owner in, and stay until a part fails for good."""
        screen.say("data", str(self._folder.path))
        redis_url = await self.start_engine(supervisor)
        async with self.founder() as founder:
            founded = await founder.found(None, None)
            token = self._folder.agent / "token"
            await founder.agent_token(token, founded)
            for index, url in enumerate(self._plan.urls):
                await supervisor.start(self.node(index, redis_url))
                screen.say(f"node-{index + 1}", url)
            await supervisor.start(self.sweeper(redis_url))
            screen.say("sweeper", "announces machines that fall silent")
            screen.say("agent", f"serves this machine, {socket.gethostname()}")
            await supervisor.start(self._agent(token))
            url = self._plan.urls[0]
            current = await founder.sign_in_cli(Profile(config_folder(self._environ)), self._plan.urls, founded)
            screen.signed_in(founded.owner.name, url, current)
            link = await founder.sign_in_link(url, founded)
            screen.link(link)
            if self._plan.open_browser and screen.can_open(self._environ):
                await screen.open_page(self._folder.path, await founder.sign_in_link(url, founded))
        screen.running(self._folder.logs)
        await supervisor.run()

    async def start_engine(self, supervisor: Supervisor) -> str:
        """Start the embedded server unless RELAY_REDIS_URL names another; returns the URL of whichever it is."""
        found = engine.find_engine(self._environ)
        if isinstance(found, engine.External):
            supervisor.say("engine", "the Redis of RELAY_REDIS_URL")
            return found.url
        await engine.retire_leftover(self._folder.engine)
        endpoint = engine.choose_endpoint(self._folder.engine)
        await supervisor.start(
            Part(
                "engine",
                (str(found.path), str(engine.write_configuration(self._folder.engine, endpoint))),
                self._inherited(),
                ready=lambda: engine.answers(endpoint),
                orphan_signal=signal.SIGTERM,  # it has a second of commands to write
            )
        )
        where = f"socket {endpoint.path}" if isinstance(endpoint, engine.Unix) else f"port {endpoint.port}"
        supervisor.say("engine", f"Valkey from {found.source}, {where}")
        return endpoint.url

    @asynccontextmanager
    async def founder(self) -> AsyncIterator[Founder]:
        """The registry of this cluster, migrated, in the hands of its owner."""
        founder = await Founder.open(self.database_url, self._folder.secret.read_text(encoding="ascii"))
        try:
            yield founder
        finally:
            await founder.close()

    def node(self, index: int, redis_url: str) -> Part:
        """One of the nodes, counted from 0."""
        port = self._plan.port + index
        origins = [f"http://{host}:{self._plan.port + other}" for other in range(self._plan.nodes) for host in NAMES]
        environ = self._told(redis_url) | {
            "RELAY_HOST": HOST,
            "RELAY_PORT": str(port),
            "RELAY_PUBLIC_URL": self._plan.urls[0],
            "RELAY_ADVERTISE_URL": self._plan.urls[index],
            "RELAY_ALLOWED_ORIGINS": ",".join(origins),
            "RELAY_DRAIN_SECONDS": "0",  # all of them stop together, so there is nowhere to move to
        }
        ready = lambda: is_ready(HOST, port)  # noqa: E731 - one line where a function would need a name
        return Part(f"node-{index + 1}", _program("node"), environ, ready, frozenset({Exit.CONFIGURATION}))

    def sweeper(self, redis_url: str) -> Part:
        """The one sweeper."""
        return Part("sweeper", _program("sweeper"), self._told(redis_url), final=frozenset({Exit.CONFIGURATION}))

    def _agent(self, token: Path) -> Part:
        environ = self._inherited() | {
            "RELAY_URL": ",".join(self._plan.urls),
            "RELAY_TOKEN_FILE": str(token),
            "RELAY_CONFIG_DIR": str(self._folder.agent),
        }
        profile, secret = Profile(self._folder.agent), token.read_text(encoding="ascii")
        loop, urls = asyncio.get_running_loop(), self._plan.urls
        began = loop.time()
        return Part(
            "agent",
            _program("serve"),
            environ,
            ready=lambda: is_online(profile, urls, secret, loop.time() - began),
            final=AGENT_FINAL,
            needed=False,  # somebody may have revoked this machine, and the cluster is there for others
            orphan_signal=signal.SIGTERM,  # it hangs up its shells, which a kill would leave to themselves
        )

    def _told(self, redis_url: str) -> dict[str, str]:
        return self._inherited() | {
            "RELAY_REDIS_URL": redis_url,
            "RELAY_DATABASE_URL": self.database_url,
            "RELAY_SECRET_FILE": str(self._folder.secret),
            "RELAY_SQLITE_WITH_REMOTE_REDIS": "true",  # all nodes are on this machine, wherever its Redis is
        }

    def _inherited(self) -> dict[str, str]:
        kept = {name: value for name, value in self._environ.items() if not name.startswith("RELAY_")}
        return kept | {name: self._environ[name] for name in KEPT_VARIABLES if name in self._environ}


NAMES = (HOST, "localhost")  # people type either; cookies and origins tell them apart


def _program(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "relay.cli", command)


def _check_ports(plan: Plan) -> None:
    for port in range(plan.port, plan.port + plan.nodes):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise Misconfigured(
                    f"port {port} cannot be used: {error.strerror}; choose another with --port"
                ) from None
