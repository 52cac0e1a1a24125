"""Serves publishers and subscribers the way one would write it first: Starlette, redis-py, one await per frame.

`python -m loadtests.bench.plain_app PORT [REDIS_URL]`; without Redis there is one node and frames stay in it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

CHANNEL = "plain:"  # in front of a topic's name


class Rooms:
    """Who listens to which topic on this node, and the way there from the others."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._listeners: defaultdict[str, list[WebSocket]] = defaultdict(list)

    def join(self, topic: str, listener: WebSocket) -> None:
        """From now on everything of the topic goes to this socket too."""
        self._listeners[topic].append(listener)

    def leave(self, topic: str, listener: WebSocket) -> None:
        """No longer."""
        self._listeners[topic].remove(listener)

    async def publish(self, topic: str, frame: bytes) -> None:
        """To everybody, whichever node they are on."""
        if self._redis is None:
            await self._deliver(topic, frame)
        else:
            await self._redis.publish(CHANNEL + topic, frame)

    async def run(self) -> None:
        """Deliver what other nodes, and this one, have published."""
        assert self._redis is not None
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.psubscribe(CHANNEL + "*")
        async for message in pubsub.listen():
            await self._deliver(message["channel"].decode().removeprefix(CHANNEL), message["data"])

    async def _deliver(self, topic: str, frame: bytes) -> None:
        for listener in tuple(self._listeners[topic]):
            await listener.send_bytes(frame)


def application(redis_url: str | None) -> Starlette:
    """One node."""
    redis = Redis.from_url(redis_url) if redis_url else None
    rooms = Rooms(redis)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(rooms.run()) if redis is not None else None
        yield
        if running is not None:
            running.cancel()

    async def publish(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await rooms.publish(websocket.path_params["topic"], await websocket.receive_bytes())
        except WebSocketDisconnect:
            pass

    async def subscribe(websocket: WebSocket) -> None:
        topic = websocket.path_params["topic"]
        await websocket.accept()
        rooms.join(topic, websocket)
        await websocket.send_text('{"type":"joined"}')
        try:
            await websocket.receive()
        finally:
            rooms.leave(topic, websocket)

    async def ready(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ready")

    routes = [
        WebSocketRoute("/publish/{topic}", publish),
        WebSocketRoute("/subscribe/{topic}", subscribe),
        Route("/readyz", ready),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve until a signal, with the same server, loop and WebSocket settings as a node of ours."""
    port, redis_url = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    uvicorn.run(
        application(redis_url),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
