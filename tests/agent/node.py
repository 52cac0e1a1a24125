"""Plays the nodes that an agent connects to: a real WebSocket server that says what a test tells it to say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relay.rules import agent_messages, messages
from relay.rules.agent_messages import AgentHello, AgentWelcome, Answer, FromAgent, from_agent
from relay.rules.messages import Message, Operator

BEAT_SECONDS = 10.0


class Visit:
    """One connection of the agent: what it said, and the means to answer."""

    def __init__(self, connection: ServerConnection, number: int, token: str) -> None:
        self.connection = connection
        self.number = number
        self.token = token
        self.hello: AgentHello | None = None
        self.messages: list[FromAgent] = []
        self.frames: list[bytes] = []
        self.order: list[FromAgent | bytes] = []
        self.closed = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def close_code(self) -> int | None:
        """With which code it ended."""
        return self.connection.close_code

    async def tell(self, message: Message) -> None:
        """Say something to the agent."""
        await self.connection.send(messages.encode(message), text=True)

    async def give(self, frame: bytes) -> None:
        """Send a frame of a browser."""
        await self.connection.send(frame)

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code."""
        await self.connection.close(code, reason)

    def cut(self) -> None:
        """Drop the connection as a lost network does."""
        self.connection.transport.abort()

    async def ask(self, operation: Any, ref: int = 1, **body: Any) -> Answer:
        """A person's request, and its answer."""
        await self.tell(agent_messages.Request(ref=ref, operation=operation, operator=Operator(user="Jane"), body=body))
        return await self.hears(Answer, lambda answer: answer.ref == ref)

    async def hears(self, kind: type[messages.M], fits: Callable[[messages.M], bool] = lambda _: True) -> messages.M:
        """The first message of a kind that fits, now or when it comes."""
        while True:
            for message in self.messages:
                if isinstance(message, kind) and fits(message):
                    return message
            await self._more()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until what the agent says makes this true."""
        while not happened():
            await self._more()

    async def _more(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def take(self, item: str | bytes) -> None:
        """Hear one thing."""
        if isinstance(item, bytes):
            self.frames.append(item)
            self.order.append(item)
        else:
            message = from_agent(item)
            self.messages.append(message)
            self.order.append(message)
        self._changed.set()


class Node:
    """A node: welcomes whoever says hello, unless told otherwise."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.welcomes = True
        self.close_at_hello: tuple[int, str] | None = None
        self.refuses: tuple[HTTPStatus, str] | None = None
        self.refusal_headers = {"Content-Type": "application/problem+json"}
        self.refusals = 0
        self.nodes: list[str] = []
        self.generation = 100
        self.machine_token: str | None = None  # a newer one, which a welcome brings
        self.beat_seconds = BEAT_SECONDS
        self.server: Server | None = None
        self._arrived = asyncio.Event()
        self._welcomed = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self.server is not None
        return f"http://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}"

    async def visit(self, number: int = 1) -> Visit:
        """The agent's connection of that number, from 1, once it is welcome (or closed)."""
        while self._welcomed < number:
            self._arrived.clear()
            await self._arrived.wait()
        return self.visits[number - 1]

    async def serve(self, connection: ServerConnection) -> None:
        """One connection."""
        assert connection.request is not None
        token = connection.request.headers.get("Authorization", "").removeprefix("Bearer ")
        visit = Visit(connection, len(self.visits) + 1, token)
        self.visits.append(visit)
        try:
            hello = from_agent(await connection.recv())
            assert isinstance(hello, AgentHello), "the first message is hello"
            visit.hello = hello
            if self.close_at_hello is not None:
                await connection.close(*self.close_at_hello)
            elif self.welcomes:
                await visit.tell(self.welcome(visit))
            self._welcomed += 1
            self._arrived.set()
            async for item in connection:
                visit.take(item)
        except ConnectionClosed:
            pass
        finally:
            visit.closed.set()

    def welcome(self, visit: Visit) -> AgentWelcome:
        """What it says to a hello."""
        return AgentWelcome(
            connection=str(visit.number),
            generation=self.generation + visit.number,
            beat_seconds=self.beat_seconds,
            nodes=self.nodes,
            machine={"id": "x", "name": "mac", "workspaceName": "acme", "visibility": "SHARED"},
            machine_token=self.machine_token,
        )

    def look(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse the upgrade, if told to."""
        assert request.path == "/ws/agent"
        if self.refuses is None:
            return None
        self.refusals += 1
        status, code = self.refuses
        response = connection.respond(status, json.dumps({"code": code, "detail": "no"}))
        for name, value in self.refusal_headers.items():
            response.headers.pop(name, None)  # or it would be sent twice
            response.headers[name] = value
        return response


@asynccontextmanager
async def node() -> AsyncIterator[Node]:
    """A node that listens for as long as this lasts."""
    made = Node()
    async with serve(
        made.serve,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("relay.v1")],
        process_request=made.look,
        compression=None,
        max_size=None,
        close_timeout=1,
    ) as server:
        made.server = server
        yield made
