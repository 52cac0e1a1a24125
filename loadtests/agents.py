"""Plays agents over real sockets: they say hello, beat, count what they are told, and say goodbye."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from loadtests.seeding import Seeded
from relay.client.dial import Socket, open_socket
from relay.client.ends import Closed
from relay.errors import RelayError
from relay.rules import messages, timing
from relay.rules.agent_messages import AgentHello, AgentWelcome, Beat, Bye, to_agent

DIALLING_AT_ONCE = 50  # handshakes under way; a storm is another scenario


@dataclass
class Counts:
    """What all agents together saw."""

    welcomed: int = 0
    beats: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    welcome_ms: list[float] = field(default_factory=list)


class Agents:
    """A number of agents that live until they are told to leave."""

    def __init__(self, urls: list[str], random: Random) -> None:
        self.counts = Counts()
        self._urls = urls
        self._random = random
        self._dialling = asyncio.Semaphore(DIALLING_AT_ONCE)
        self._sockets: dict[str, Socket] = {}
        self._progress = asyncio.Condition()

    async def live(self, machine: Seeded, token: str) -> None:
        """One agent: connect, beat, and stay until its socket ends."""
        loop = asyncio.get_running_loop()
        try:
            async with self._dialling:
                began = loop.time()
                socket = await open_socket(self._urls, "/ws/agent", token, random=self._random)
                hello = AgentHello(instance=machine.instance, hostname=machine.hostname, version="1.0.0", pid=1)
                await socket.send_text(messages.encode(hello))
                welcome = to_agent(await socket.receive())
        except RelayError as error:
            self.counts.refused[error.code] += 1
            await self._advance()
            return
        assert isinstance(welcome, AgentWelcome)
        self.counts.welcomed += 1
        self.counts.welcome_ms.append((loop.time() - began) * 1000)
        self._sockets[machine.id] = socket
        await self._advance()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(socket))
                group.create_task(self._beat(socket, welcome.beat_seconds))
        except* Closed as ends:
            end = ends.exceptions[0]
            assert isinstance(end, Closed)
            self.counts.closed[end.close_code] += 1

    async def seated(self, count: int) -> None:
        """Wait until so many agents were welcomed or turned away."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.counts.welcomed + self.counts.refused.total() >= count)

    async def _advance(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    async def leave(self, machine: Seeded) -> None:
        """One agent says goodbye and closes."""
        socket = self._sockets.pop(machine.id)
        await socket.send_text(messages.encode(Bye()))
        await socket.close()

    async def _listen(self, socket: Socket) -> None:
        while True:
            await socket.receive()

    async def _beat(self, socket: Socket, beat_seconds: float) -> None:
        while True:
            await asyncio.sleep(beat_seconds * (1 - self._random.uniform(0, timing.BEAT_JITTER)))
            await socket.send_text(messages.encode(Beat()))
            self.counts.beats += 1
