"""Puts plain Starlette with redis-py under measurement: what a node would cost without a transport of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from loadtests.bench.affinity import starting_on
from loadtests.bench.contender import Contender, Topic
from loadtests.bench.engine import engine_version, start_engine
from loadtests.bench.wire import Line, from_client, from_server
from loadtests.servers import free_ports, say
from relay.dev.part import Part
from relay.dev.readiness import is_ready
from relay.dev.supervisor import Supervisor


class Plain(Contender):
    """The small application of `plain_app.py`; several nodes meet in the same Redis as Relay's do."""

    name = "starlette"

    def __init__(self) -> None:
        super().__init__()
        self._first_port = 0
        self._topics = 0

    @property
    def versions(self) -> dict[str, str]:
        """What it is made of."""
        libraries = {library: version(library) for library in ("starlette", "uvicorn", "uvloop", "redis", "hiredis")}
        return {**libraries, "engine": engine_version()}

    async def start(self, nodes: int, servers_core: int | None) -> None:
        """One process per node; the engine only where there are several."""
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="relay-plain-")))
        with starting_on(servers_core):
            supervisor = await self._running.enter_async_context(Supervisor(folder, say))
            words = [] if nodes == 1 else [await start_engine(supervisor, folder)]
            self._first_port = free_ports(nodes)
            for index in range(nodes):
                port = self._first_port + index
                program = (sys.executable, "-m", "loadtests.bench.plain_app", str(port), *words)
                ready = lambda port=port: is_ready("127.0.0.1", port)  # noqa: E731 - one line with its port bound
                await supervisor.start(Part(f"plain-{index + 1}", program, dict(os.environ), ready))
        self.pids = list(supervisor.pids.values())

    async def topics(self, publishers: int, receivers_each: int, nodes: int) -> list[Topic]:
        """A path for each topic and role."""
        return [self._topic(receivers_each, nodes) for _ in range(publishers)]

    def _topic(self, receivers: int, nodes: int) -> Topic:
        self._topics += 1
        listening = []
        for _ in range(receivers):
            listener = Line(self._first_port + nodes - 1, f"/subscribe/{self._topics}", {})
            listener.hears("joined")
            listening.append(listener.handed_over())
        publisher = Line(self._first_port, f"/publish/{self._topics}", {})
        return Topic(
            publisher=publisher.handed_over(),
            receivers=listening,
            encode=lambda payload, count: from_client(payload) * count,
            delivered=from_server,
        )
