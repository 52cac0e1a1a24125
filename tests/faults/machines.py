"""Runs several machines in one process: real agents of the library, each with a folder and a registration of its own.

    RELAY_URL=... RELAY_TOKEN=... python -m tests.faults.machines FOLDER NAME...

It says on standard error what agents say, with the machine's name in each line. They notice a dead node sooner than
agents usually do, because a scenario waits for it, and come back within a second however often they lost theirs of
late, because scenarios follow each other as failures do not. A machine that is revoked goes on trying, as a thief would
who kept its token, and says so if anybody takes it in.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from random import SystemRandom

import structlog

from relay import VERSION
from relay.agent.agent import Agent, Wiring
from relay.agent.clock import Clock
from relay.agent.history import History
from relay.agent.link import Link, Surroundings
from relay.agent.outlet import Switch
from relay.agent.registration import Registration, Wish
from relay.agent.sessions import Host, Sessions
from relay.agent.startup import account
from relay.client.api import api
from relay.client.dial import AGENT_PATH, Deadlines, Socket, open_socket
from relay.client.profile import Enrolment, Profile
from relay.errors import RelayError
from relay.rules.agent_messages import AgentHello, ToAgent

DEADLINES = Deadlines(open=3.0, ping=3.0, pong=4.0)
AGAIN_SECONDS = 1.0  # between two attempts of a revoked machine
LONGEST_WAIT_SECONDS = 1.0  # the first step of an agent's back-off


class Prompt(SystemRandom):
    """Chance that never lets an agent wait for longer than its first step."""

    def uniform(self, a: float, b: float) -> float:
        """Between these, and below the limit."""
        return super().uniform(a, min(b, LONGEST_WAIT_SECONDS))


async def dial(urls: list[str], path: str, token: str | None) -> Socket:
    """A socket to one of these nodes."""
    return await open_socket(urls, path, token, deadlines=DEADLINES)


class Machine:
    """One machine of the process."""

    def __init__(self, name: str, folder: Path, urls: list[str], key: str) -> None:
        self._name = name
        self._folder = folder / name
        self._urls = urls
        self._key = key
        self._surroundings = Surroundings(Clock(), Prompt(), socket.gethostname)

    async def live(self, stop: asyncio.Event) -> None:
        """Register, serve until stopped or sent away, and if it was revoked, keep trying."""
        structlog.contextvars.bind_contextvars(machine=self._name)
        self._folder.mkdir()
        enrolment = await self._register()
        history = History(self._folder / "history.sqlite3")
        epoch = await history.open(self._surroundings.clock.unix())
        try:
            switch = Switch()
            host = Host(account(), dict(os.environ))
            sessions = Sessions(epoch, switch, self._surroundings.clock, host, history)
            parts = Wiring(Profile(self._folder), sessions, history, switch, self._surroundings)
            leave = await Agent(enrolment, self._urls, parts, dial=dial).run(stop)
        finally:
            await history.close()
        structlog.get_logger().info("left", why=leave.line)
        if leave.revoked:
            await self._haunt(enrolment, stop)

    async def _register(self) -> Enrolment:
        profile = Profile(self._folder)
        async with api(self._urls, self._key) as caller:
            registration = Registration(profile, self._urls[0], caller, self._surroundings)
            return await registration.register(Wish(name=self._name), None)

    async def _haunt(self, enrolment: Enrolment, stop: asyncio.Event) -> None:
        """Try to come back with the token that was taken away, and say so if that works."""
        assert enrolment.machine_token is not None
        while not stop.is_set():
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                socket = await dial(self._urls, AGENT_PATH, enrolment.machine_token)
            except RelayError as error:
                structlog.get_logger().info("not let in", why=error.message)
                continue
            hello = AgentHello(instance=enrolment.instance_id, hostname="thief", version=VERSION, pid=os.getpid())
            try:
                welcome = await Link(socket, self._surroundings, _Deaf()).greet(hello)
            except RelayError as error:
                structlog.get_logger().info("not let in", why=error.message)
            else:
                structlog.get_logger().error("let in although revoked", generation=welcome.generation)
            finally:
                socket.abort()


class _Deaf:
    """Hears nothing."""

    def told(self, link: Link, message: ToAgent) -> None:
        """Pass over it."""

    def given(self, link: Link, frame: bytes) -> None:
        """Pass over it."""

    def pressed(self) -> None:
        """Pass over it."""


async def main() -> None:
    """Be all machines until a signal comes."""
    folder, *names = sys.argv[1:]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    urls, key = os.environ["RELAY_URL"].split(","), os.environ["RELAY_TOKEN"]
    machines = [Machine(name, Path(folder), urls, key) for name in names]
    await asyncio.gather(*(machine.live(stop) for machine in machines))


if __name__ == "__main__":
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "machine", "event"], drop_missing=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(main())
