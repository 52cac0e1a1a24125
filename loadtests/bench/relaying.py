"""Puts Relay itself under measurement: real nodes, agents with one session each, and browsers attached to them."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from random import Random
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from loadtests.bench import payloads
from loadtests.bench.affinity import starting_on
from loadtests.bench.contender import Contender, Topic
from loadtests.bench.engine import engine_version
from loadtests.bench.wire import Line, from_client, from_server
from loadtests.seeding import Seeded, invent, write_rows
from loadtests.servers import Asked, Servers, own_servers
from relay import PROTOCOL, VERSION
from relay.rules import frames
from relay.rules.frames import EVERYBODY, Header, Kind
from relay.rules.tokens import Secrets, sign_machine

EPOCH = 1  # of the sessions that the generator's agents announce
MACHINES = 100  # what a fan-out needs at most
PLENTY = str(10_000_000)  # handshakes a second that a node may accept: the limit is not what is measured
LIBRARIES = ("uvicorn", "uvloop", "starlette", "websockets", "redis", "hiredis")


class Relay(Contender):
    """Relay as `relay dev` runs it: an embedded engine, nodes, a sweeper; no agent but the generator's."""

    name = "relay"

    def __init__(self, asked: Asked | None = None) -> None:
        super().__init__()
        self._asked = asked or Asked(told={"RELAY_HANDSHAKES": PLENTY})
        self._servers: Servers | None = None
        self._fleet: list[Seeded] = []

    @property
    def versions(self) -> dict[str, str]:
        """Python, our own commit, and what a node is built on."""
        return {
            "python": platform.python_version(),
            "relay": _commit(),
            "engine": engine_version(),
            **{library: version(library) for library in LIBRARIES},
        }

    @property
    def servers(self) -> Servers:
        """The cluster that runs."""
        assert self._servers is not None, "not started"
        return self._servers

    async def start(self, nodes: int, servers_core: int | None) -> None:
        """A cluster with a hundred machines in its registry."""
        with starting_on(servers_core):
            self._servers = await self._running.enter_async_context(own_servers(nodes, self._asked))
        self.pids = list(self._servers.pids.values())
        self._fleet = invent(MACHINES, Random(1))
        await write_rows(self._servers.database_url, self._servers.workspace, self._fleet)

    async def topics(self, publishers: int, receivers_each: int, nodes: int) -> list[Topic]:
        """Agents on the first node, their browsers on the last."""
        assert publishers <= len(self._fleet)
        return [self._topic(machine, receivers_each, nodes) for machine in self._fleet[:publishers]]

    def token(self, machine: Seeded) -> str:
        """What the machine's agent dials with."""
        secrets = Secrets.parse(self.servers.secret)
        return sign_machine(secrets, self.servers.workspace, machine.id, machine.token_version)

    def port(self, node: int) -> int:
        """Where a node listens, counted from 0."""
        port = urlsplit(self.servers.urls[node]).port
        assert port is not None
        return port

    def _topic(self, machine: Seeded, receivers: int, nodes: int) -> Topic:
        session = str(uuid4())
        agent = self._dial(0, "agent", self.token(machine))
        described = {"id": session, "epoch": EPOCH, "kind": "terminal", "startedAt": 1.0}
        agent.say(type="hello", instance=machine.instance, hostname=machine.hostname, version="1", sessions=[described])
        agent.hears("welcome")
        browsers = []
        for number in range(receivers):
            browser = self._dial(nodes - 1, "browser", self.servers.token)
            browser.say(type="hello", client=f"generator-{number}")
            browser.hears("welcome")
            browser.say(type="attach", ref=1, machine=machine.id, session=session, mode="watch")
            _answer_attach(agent, session)
            browser.hears("attached")
            browsers.append(browser)
        raw = UUID(session).bytes

        def frame(payload: bytes) -> bytes:
            header = Header(Kind.OUTPUT, 0, EVERYBODY, EPOCH, raw, payloads.index_of(payload) + 1)
            return frames.pack(header, payload)

        return Topic(
            publisher=agent.handed_over(),
            receivers=[browser.handed_over() for browser in browsers],
            encode=lambda payload, count: from_client(frame(payload)) * count,
            delivered=lambda payload: from_server(frame(payload)),
        )

    def _dial(self, node: int, role: str, token: str) -> Line:
        return Line(self.port(node), f"/ws/{role}", {"Authorization": f"Bearer {token}"}, [PROTOCOL])


def _answer_attach(agent: Line, session: str) -> None:
    """What an agent says that keeps nothing: everything that comes from now on is for everybody."""
    place = {"session": session, "attachment": agent.hears("attach")["attachment"]}
    agent.say(type="attaching", **place, epoch=EPOCH, first=1, recovered=True, driver=False, columns=80, rows=24)
    agent.say(type="attached", **place, head=0)


def _commit() -> str:
    """The commit that is checked out, marked when files differ from it, or the version."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    said = subprocess.run(git, capture_output=True, text=True, check=False)
    return said.stdout.strip() or VERSION
