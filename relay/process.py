"""Runs a node as a process: its ports, signals, drain and exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from socket import socket

import structlog
import uvicorn

from relay import VERSION
from relay.app import PARTING_SECONDS, Node
from relay.errors import Misconfigured, RelayError
from relay.logs import configure_logs
from relay.node.drain import HURRIED_SECONDS, Drain
from relay.opening import open_node
from relay.settings import Settings
from relay.web.measures import create_metrics
from relay.web.server import DrainingServer, configure

UNREADY_SECONDS = 5.0  # a node is ready within a second of its start, if Redis is there
UNREADY_LOOK_SECONDS = 0.05


class SideServer(uvicorn.Server):
    """Uvicorn beside another server, to which it leaves the signals of the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.listens.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever has them: uvicorn would put itself in front, and be gone before the drain begins."""
        yield


def serve(settings: Settings, shared: socket | None = None) -> None:
    """What `relay node` does; raises `Misconfigured` or `Unavailable`. A `shared` socket listens already, and other
    nodes of this host accept from it too."""
    configure_logs(settings)
    try:
        uvicorn_loop = uvicorn.Config("", loop="auto").get_loop_factory()
        with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
            runner.run(serve_node(settings, shared))
    except* RelayError as group:
        raise group.exceptions[0] from None


async def serve_node(settings: Settings, shared: socket | None = None) -> None:
    """Run one node until it was asked to leave and has been drained; raises `Misconfigured` for a port that is
    taken."""
    async with open_node(settings) as node, _metrics(node, settings):
        server = DrainingServer(configure(node.web(), settings.host, settings.port, node.meters.limited))
        drain = Drain(node.hub, node.membership)
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(node.run()),
                group.create_task(_drain_when_asked(node, drain, server)),
                group.create_task(_hurry_when_asked(drain, server)),
                group.create_task(node.pauses.run()),
            ]
            try:
                if shared is not None:
                    await _first_ready(node)
                structlog.get_logger().info("a node begins", version=VERSION, host=settings.host, port=settings.port)
                await _listen(server, settings.host, settings.port, shared)
            finally:
                await node.part(HURRIED_SECONDS if drain.hurried else PARTING_SECONDS)
                for task in background:
                    task.cancel()


async def _drain_when_asked(node: Node, drain: Drain, server: DrainingServer) -> None:
    """By a signal, or by an operator from anywhere."""
    asked = [asyncio.create_task(event.wait()) for event in (server.asked_to_stop, node.orderly.asked_to_drain)]
    try:
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in asked:
            waiting.cancel()
    if not server.asked_to_stop.is_set():
        server.leave_shared()  # the other nodes of this host stay and take whoever comes
    await drain.run(node.settings.drain_seconds)
    await node.orderly.drained()
    server.should_exit = True


async def _hurry_when_asked(drain: Drain, server: DrainingServer) -> None:
    await server.asked_to_hurry.wait()
    drain.hurry()


@asynccontextmanager
async def _metrics(node: Node, settings: Settings) -> AsyncIterator[None]:
    """Serves the metrics, if they have a port, until everything else is over: a drain is when they matter. Raises
    `Misconfigured` before anybody is let in."""
    if not settings.metrics_port:
        yield
        return
    config = configure(create_metrics(node.metrics), settings.host, settings.metrics_port, node.meters.limited)
    server = SideServer(config)
    serving = asyncio.create_task(_listen(server, settings.host, settings.metrics_port))
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield
    finally:
        listens.cancel()
        serving.cancel()
        await asyncio.gather(serving, listens, return_exceptions=True)


async def _first_ready(node: Node) -> None:
    """Leave newcomers to the other nodes until this one is ready, but not for long: who is not ready says why."""
    with suppress(TimeoutError):
        async with asyncio.timeout(UNREADY_SECONDS):
            while node.readiness.reasons():  # noqa: ASYNC110 - it is worked out from what a dozen parts know
                await asyncio.sleep(UNREADY_LOOK_SECONDS)


async def _listen(server: uvicorn.Server, host: str, port: int, shared: socket | None = None) -> None:
    try:
        await server.serve(None if shared is None else [shared])
    except SystemExit:  # uvicorn's way to say that it could not bind
        raise Misconfigured(f"cannot listen on {host}:{port}: is the port taken?") from None
