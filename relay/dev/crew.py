"""Gathers several nodes of one host behind one port: starts them, replaces those that end, and stops them together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import structlog

from relay.dev import tether
from relay.errors import Exit, Misconfigured
from relay.logs import configure_logs
from relay.settings import Settings

BACKLOG_CONNECTIONS = 2048  # as uvicorn's own: who waits here is let in by whichever node is free first
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0)  # before a node that ended starts again
STABLE_SECONDS = 30.0  # a node that ran this long starts again with the first pause
# Beyond the drain, for silent peers and the last answers; a node may take 20. Then it is killed, and that is said
# before whoever stops the host kills us, 25 after the drain.
PARTING_SECONDS = 23.0
NEVER_RAN = frozenset({Exit.CONFIGURATION, Exit.UNAVAILABLE})  # how a node ends that did not get as far as to serve
STOPS = (signal.SIGTERM, signal.SIGINT)


def run(settings: Settings, environ: Mapping[str, str]) -> int:
    """What `relay node --workers` does: several nodes behind one port; the exit code. Raises `Misconfigured`."""
    configure_logs(settings)
    with listener(settings) as shared:
        return asyncio.run(Crew(members(settings, environ, shared), shared, settings.drain_seconds).run())


class Member(NamedTuple):
    """How one node of the crew is started."""

    number: int
    command: tuple[str, ...]
    environ: Mapping[str, str]


def listener(settings: Settings) -> socket.socket:
    """The socket that all nodes of the crew accept from; raises `Misconfigured` for a port that is taken.

    One socket for all, not one each with SO_REUSEPORT: a node that stands still or drains takes nobody's turn, since
    whoever waits at the port is let in by the first node that asks, and nobody is reset when one closes its own.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((settings.host, settings.port))
        found.listen(BACKLOG_CONNECTIONS)
    except OSError:
        found.close()
        raise Misconfigured(f"cannot listen on {settings.host}:{settings.port}: is the port taken?") from None
    return found


def members(settings: Settings, environ: Mapping[str, str], shared: socket.socket) -> list[Member]:
    """The nodes that these settings ask for, each with a metrics port of its own: the first has the one that was given,
    the others those behind it."""
    if settings.metrics_port + settings.workers - 1 > 65535:
        raise Misconfigured(f"RELAY_METRICS_PORT: {settings.workers} workers need as many ports from there on")
    command = (sys.executable, "-m", "relay.cli", "node", "--listener", str(shared.fileno()))
    own = dict(environ) | {"RELAY_WORKERS": "1", "RELAY_PORT": str(shared.getsockname()[1])}  # also of a free one
    return [
        Member(number, command, own | _metrics_port(settings.metrics_port, number))
        for number in range(1, settings.workers + 1)
    ]


def _metrics_port(first: int, number: int) -> dict[str, str]:
    return {"RELAY_METRICS_PORT": str(first + number - 1)} if first else {}


class Crew:
    """The nodes of one host. A signal drains all of them, for the host goes; who ends otherwise is replaced."""

    def __init__(self, crew: list[Member], shared: socket.socket, drain_seconds: float) -> None:
        self._members = crew
        self._shared = shared
        self._stop_seconds = drain_seconds + PARTING_SECONDS
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Keep every node running until a signal, then until all have drained; the exit code for the whole.

        Has to be called in the main thread; see `tether.py`.
        """
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self.stop)
        keeping = [asyncio.create_task(self._keep(member)) for member in self._members]
        codes: list[int] = []
        for ended in asyncio.as_completed(keeping):
            codes.append(await ended)
            if not self._stopping.is_set():
                self.stop()  # settings with which a node never ran are the end of all
        return next((code for code in codes if code), Exit.OK)

    def stop(self) -> None:
        """Drain all nodes; called once more, they hurry."""
        self._stopping.set()
        self._signal_all()

    async def _keep(self, member: Member) -> int:
        """Start a node again and again; its last exit code. One that ran before and is refused now, as by a registry
        that a newer version has changed, is tried more rarely: its settings are those of the others, who serve."""
        loop = asyncio.get_running_loop()
        failures, ran = 0, False
        while True:
            began = loop.time()
            code = await self._live(member)
            if self._stopping.is_set():
                return Exit.OK if code == -signal.SIGTERM else code  # asked before it listened for such wishes
            stable = loop.time() - began > STABLE_SECONDS
            ran = ran or stable or code not in NEVER_RAN
            if code == Exit.CONFIGURATION and not ran:
                return code
            failures = 0 if stable else failures
            pause = PAUSES_SECONDS[-1 if code == Exit.CONFIGURATION else min(failures, len(PAUSES_SECONDS) - 1)]
            failures += 1
            log = structlog.get_logger()
            log.warning(
                "a node behind this port ended and starts again", worker=member.number, code=code, pause_seconds=pause
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                    return Exit.OK  # it was not there to be drained

    async def _live(self, member: Member) -> int:
        """One life of a node; its exit code, negative for a signal."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(int(signal.SIGTERM)),
            *member.command,
            stdin=asyncio.subprocess.DEVNULL,
            env=dict(member.environ),
            pass_fds=(self._shared.fileno(),),
            start_new_session=True,  # Ctrl-C in a terminal reaches only us
        )  # fmt: skip
        self._running[member.number] = process
        structlog.get_logger().info("a node behind this port starts", worker=member.number, pid=process.pid)
        if self._stopping.is_set():  # while it was started
            self._signal(process)
        killing = asyncio.create_task(self._kill_late(process))
        try:
            return await process.wait()
        finally:
            killing.cancel()
            del self._running[member.number]

    async def _kill_late(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self._stop_seconds)
        structlog.get_logger().warning("a node behind this port does not end and is killed", pid=process.pid)
        with suppress(ProcessLookupError):
            process.kill()

    def _signal_all(self) -> None:
        for process in self._running.values():
            self._signal(process)

    def _signal(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
