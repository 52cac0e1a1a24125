"""Dials a node and says hello there: makes the connections on which the relay has welcomed this machine."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

import structlog

from relay import VERSION
from relay.agent.identity import Identity
from relay.agent.link import Ears, Link, Surroundings
from relay.agent.requests import fitting
from relay.agent.sessions import Sessions
from relay.client.dial import AGENT_PATH, Socket
from relay.rules import limits
from relay.rules.agent_messages import AgentHello

HELLO_BYTES = limits.CONTROL_BYTES - 4 * limits.KIB  # for sessions in a hello; the others follow one by one


class Dial(Protocol):
    """Opens a socket to one of these nodes; `relay.client.dial.open_socket` outside of tests."""

    async def __call__(self, urls: list[str], path: str, token: str | None) -> Socket:
        """Raises what `open_socket` raises."""


class Handshakes:
    """One machine's handshakes, one at a time: each says what is true of it then, and learns what the welcome tells."""

    def __init__(self, identity: Identity, sessions: Sessions, surroundings: Surroundings, dial: Dial) -> None:
        self._identity = identity
        self._sessions = sessions
        self._surroundings = surroundings
        self._dial = dial
        self._answered = asyncio.Event()  # cleared between a hello and its answer
        self._answered.set()

    async def answered(self) -> None:
        """Wait until no hello is without its answer: until then the relay may have admitted us already."""
        await self._answered.wait()

    async def link(self, nodes: list[str], ears: Ears) -> Link:
        """A connection to one of these nodes that was welcomed; raises what dialling and greeting raise."""
        socket = await self._dial(list(dict.fromkeys(nodes)), AGENT_PATH, self._identity.enrolment.machine_token)
        link = Link(socket, self._surroundings, ears)
        self._answered.clear()
        try:
            welcome = await link.greet(self._hello())
        except BaseException:
            socket.abort()
            raise
        finally:
            self._answered.set()
        self._identity.welcomed(welcome)
        structlog.get_logger().info(
            "connected",
            node=link.node,
            name=welcome.machine.get("name"),
            workspace=welcome.machine.get("workspaceName"),
            visibility=welcome.machine.get("visibility"),
        )
        return link

    def _hello(self) -> AgentHello:
        return AgentHello(
            instance=self._identity.enrolment.instance_id,
            hostname=self._surroundings.hostname(),
            version=VERSION,
            pid=os.getpid(),
            generation=self._identity.enrolment.generation,
            sessions=fitting(self._sessions.announced(), HELLO_BYTES),
            renews=True,
            knows_unavailable=True,
        )
