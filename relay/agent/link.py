"""Speaks the agent's side of one socket: hello and welcome, beats, and messages in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

import structlog
from msgspec import DecodeError

from relay.agent.clock import Clock
from relay.agent.outbox import Outbox
from relay.client.dial import Socket
from relay.client.ends import Closed, Unreachable
from relay.errors import RelayError
from relay.rules import messages, timing
from relay.rules.agent_messages import AgentHello, AgentWelcome, Beat, ToAgent, to_agent
from relay.rules.messages import Message, Session

FAREWELL_SECONDS = 1.0  # for what is queued when we leave


class Ears(Protocol):
    """Who hears what the relay says on this socket; every call returns at once."""

    def told(self, link: Link, message: ToAgent) -> None:
        """A control message."""

    def given(self, link: Link, frame: bytes) -> None:
        """A frame; raises `Invalid` for one that the relay may not send."""

    def pressed(self) -> None:
        """The connection became full, or has room again."""


class Surroundings(NamedTuple):
    """What a link takes from the computer, and a test may give instead."""

    clock: Clock
    random: Random
    hostname: Callable[[], str]


class Link:
    """One connection to one node. `greet` first, then `run`."""

    def __init__(self, socket: Socket, surroundings: Surroundings, ears: Ears) -> None:
        self._socket = socket
        self._clock, self._random, self._hostname = surroundings
        self._ears = ears
        self._outbox = Outbox(ears.pressed)
        self._told_hostname = ""
        self._beat_seconds = timing.BEAT_SECONDS
        self.sessions: list[Session] = []  # those that the hello told of

    @property
    def node(self) -> str:
        """The address of the node at the other end."""
        return self._socket.node

    @property
    def pressed(self) -> bool:
        """Whether so much waits to be written that what can wait should."""
        return self._outbox.pressed

    def send(self, frame: bytes) -> None:
        """Queue a ready frame."""
        self._put(frame, text=False)

    def tell(self, message: Message) -> None:
        """Queue a control message."""
        self._put(messages.encode(message), text=True)

    def pace(self, seconds: float) -> None:
        """Beat so often, from the next beat on."""
        self._beat_seconds = seconds

    async def greet(self, hello: AgentHello) -> AgentWelcome:
        """Say hello and wait for the welcome; raises a `Closed`, or `Unreachable` if none comes."""
        self._told_hostname = hello.hostname
        self.sessions = hello.sessions
        try:
            async with asyncio.timeout(timing.HELLO_SECONDS):
                await self._socket.send_text(messages.encode(hello))
                while True:
                    message = await self._socket.receive()
                    welcome = self._understood(message) if isinstance(message, str) else None
                    if isinstance(welcome, AgentWelcome):
                        self._beat_seconds = welcome.beat_seconds
                        return welcome
        except TimeoutError:
            raise Unreachable(f"{self.node} did not say welcome within {timing.HELLO_SECONDS:g} s") from None

    async def run(self) -> Closed:
        """Carry messages both ways until the connection ends; how it did."""
        # A task of its own: on early Python 3.11 (seen on 3.11.2) a group that failed leaves the task that ran it half
        # cancelled, and an `asyncio.timeout` that strikes there later ends the task and not the wait.
        return await asyncio.create_task(self._carry())

    async def _carry(self) -> Closed:
        ends: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self._write())
                tasks.create_task(self._beat())
        except* Closed as group:
            ends.extend(group.exceptions)
        end = ends[0]
        assert isinstance(end, Closed)
        return end

    async def leave(self, reason: str = "") -> None:
        """Close, after what is queued is out or did not get out in time."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._outbox.emptied()
        except TimeoutError:
            structlog.get_logger().warning("left before everything was sent", node=self.node)
        await self._socket.close(reason=reason)

    def abort(self) -> None:
        """Drop the connection, if it is still there."""
        self._socket.abort()

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            try:
                if isinstance(message, bytes):
                    self._ears.given(self, message)
                else:
                    told = self._understood(message)
                    if told is not None:
                        self._ears.told(self, told)
            except RelayError as error:
                structlog.get_logger().warning("the relay sent something wrong", node=self.node, why=error.message)

    async def _write(self) -> None:
        while True:
            item = await self._outbox.take()
            if item.text:
                await self._socket.send_text(item.data)
            else:
                await self._socket.send_binary(item.data)
            self._outbox.sent()

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._beat_seconds * (1 - self._random.uniform(0, timing.BEAT_JITTER)))
            hostname = self._hostname()
            changed = hostname != self._told_hostname
            if changed:
                structlog.get_logger().info("the hostname changed", hostname=hostname, before=self._told_hostname)
            self.tell(Beat(hostname=hostname if changed else None))
            self._told_hostname = hostname

    def _put(self, data: bytes, *, text: bool) -> None:
        if self._outbox.overflowed:
            return  # the connection is being dropped
        self._outbox.put(data, text=text)
        if self._outbox.overflowed:
            structlog.get_logger().warning("the relay takes nothing any more, connecting again", node=self.node)
            self._socket.abort()

    def _understood(self, text: str) -> ToAgent | None:
        try:
            return to_agent(text)
        except DecodeError as error:
            # A node one version ahead may say more than we know; what we need, it says as before.
            structlog.get_logger().warning("a message of the relay is not understood", node=self.node, why=str(error))
            return None
