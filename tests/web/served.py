"""Serves a site on a real port from a thread of its own, for clients that are not asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from tests.support.valkey import Valkey
from tests.web.site import Caller, open_site

START_SECONDS = 20.0


class Served:
    """A site that listens; everything in it belongs to its own thread and is only asked over HTTP."""

    def __init__(self, url: str, owner: Caller, machine: dict[str, Any]) -> None:
        self.url = url
        self.owner = owner
        self.machine = machine


class _Server(uvicorn.Server):
    """A server that leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def serve(valkey: Valkey) -> Iterator[Served]:
    """A founded site with one SHARED machine, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    started: Future[tuple[Served, _Server]] = Future()

    async def run(folder: Path) -> None:
        async with open_site(folder, valkey, public_url=url) as site:
            owner = await site.caller(site.owner)
            machine = await owner.machine("served", visibility="SHARED")
            server = _Server(uvicorn.Config(site.app, log_config=None, ws="none", lifespan="off"))
            started.set_result((Served(url, owner, machine), server))
            await server.serve(sockets=[listening])

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool, listening:
        ended = pool.submit(asyncio.run, run(Path(folder)))
        ended.add_done_callback(lambda _: started.cancel())
        try:
            served, server = started.result(START_SECONDS)
        except CancelledError:
            ended.result()
            raise
        try:
            yield served
        finally:
            server.should_exit = True
            ended.result(START_SECONDS)
