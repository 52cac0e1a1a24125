"""Puts Socket.IO under measurement: Node processes with rooms, which its Redis adapter joins into one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from pathlib import Path

from loadtests.bench.affinity import starting_on
from loadtests.bench.contender import Contender, Topic
from loadtests.bench.engine import engine_version, start_engine
from loadtests.bench.wire import TEXT, Line, from_client
from loadtests.compare import fetched
from loadtests.servers import free_ports, say
from relay.dev.part import Part
from relay.dev.readiness import is_ready
from relay.dev.supervisor import Supervisor

SOURCES = fetched.HERE / "socketio_server"
PATH = "/socket.io/?EIO=4&transport=websocket"
# Engine.IO's packet types, each followed in a message by Socket.IO's.
OPEN, CONNECT, EVENT = b"0", b"40", b"42"
SHOWN = ("socket.io", "@socket.io/redis-adapter", "redis", "ws", "bufferutil")


class SocketIo(Contender):
    """The server of `socketio_server/server.mjs`; several meet in the same Redis as Relay's nodes do."""

    name = "socket.io"

    def __init__(self) -> None:
        super().__init__()
        self._first_port = 0
        self._topics = 0
        self._node = Path()
        self._program = Path()

    @property
    def versions(self) -> dict[str, str]:
        """Node's, the packages' and the engine's."""
        told = subprocess.run([self._node, "--version"], capture_output=True, text=True, check=True).stdout
        modules = self._program.parent / "node_modules"
        packages = {name: json.loads((modules / name / "package.json").read_text())["version"] for name in SHOWN}
        return {"node": told.strip().removeprefix("v"), **packages, "engine": engine_version()}

    async def start(self, nodes: int, servers_core: int | None) -> None:
        """One process per node; the engine only where there are several."""
        self._node, self._program = await asyncio.to_thread(fetched.npm_program, SOURCES, "server.mjs")
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="relay-sio-")))
        environ = {**os.environ, "NODE_ENV": "production"}
        with starting_on(servers_core):
            supervisor = await self._running.enter_async_context(Supervisor(folder, say))
            words = [] if nodes == 1 else [await start_engine(supervisor, folder)]
            self._first_port = free_ports(nodes)
            for index in range(nodes):
                port = self._first_port + index
                command = (str(self._node), str(self._program), str(port), *words)
                ready = lambda port=port: is_ready("127.0.0.1", port)  # noqa: E731 - one line with its port bound
                await supervisor.start(Part(f"socket.io-{index + 1}", command, environ, ready))
        self.pids = list(supervisor.pids.values())

    async def topics(self, publishers: int, receivers_each: int, nodes: int) -> list[Topic]:
        """A room for each topic. Payloads are strings: Socket.IO sends binary ones as a message of their own behind
        one that announces them, which costs it more."""
        return [self._topic(receivers_each, nodes) for _ in range(publishers)]

    def _topic(self, receivers: int, nodes: int) -> Topic:
        self._topics += 1
        receiving = [self._peer(nodes - 1, publishes=False) for _ in range(receivers)]
        return Topic(
            publisher=self._peer(0, publishes=True).handed_over(),
            receivers=[line.handed_over() for line in receiving],
            encode=lambda payload, count: from_client(_event(payload), TEXT) * count,
        )

    def _peer(self, node: int, *, publishes: bool) -> Line:
        """A client that the server has put into the room, or lets publish to it: it answers after either."""
        line = Line(self._first_port + node, PATH, {})
        _expect(line, OPEN)
        wanted = {"topic": f"topic-{self._topics}", "publishes": publishes}
        line.send(CONNECT + json.dumps(wanted).encode(), TEXT)
        _expect(line, CONNECT)
        return line


def _event(payload: bytes) -> bytes:
    return EVENT + b'["frame","' + payload + b'"]'


def _expect(line: Line, packet: bytes) -> None:
    answer = line.receive()
    if not answer.startswith(packet):
        raise ConnectionError(f"Socket.IO answered {answer[:80]!r}")
