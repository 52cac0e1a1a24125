"""Asks a node inside this process, where its event loop can be watched while it answers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from starlette.types import Message

from loadtests.hold import HoldMeter
from loadtests.numbers import summary
from loadtests.servers import Servers
from relay.app import Node, open_node
from relay.settings import Settings

ROUNDS = 20  # the machine is shared with the load, so single rounds prove nothing


class Asked(NamedTuple):
    """One call and what it cost."""

    status: int
    size: int
    headers: dict[bytes, bytes]
    took_ms: float
    worked_ms: float  # by the loop's thread
    held_ms: float  # of that, the most in one go


def _costs(answers: list[Asked]) -> dict[str, Any]:
    return {
        "tookMs": summary([answer.took_ms for answer in answers]),
        "workedMs": summary([answer.worked_ms for answer in answers]),
        "loopHoldMs": summary([answer.held_ms for answer in answers]),
    }


class Inside:
    """A node of the cluster in this process: it answers REST and runs nothing of its own."""

    def __init__(self, node: Node, servers: Servers) -> None:
        self._web = node.web()
        self._directory = node.directory
        self._servers = servers

    async def measure(self, names: list[str]) -> dict[str, Any]:
        """What a list of everything costs, an unchanged list, and resolving each of these names."""
        query = {"workspace": self._servers.workspace, "limit": "10000"}
        first = await self.ask("/api/machines", query)
        assert first.status == 200, f"the list answered {first.status}"
        lists, unchanged = [], []
        for _ in range(ROUNDS):
            await self._forget_presence()
            answer = await self.ask("/api/machines", query)
            lists.append(answer)
            tag = answer.headers[b"etag"].decode()
            unchanged.append(await self.ask("/api/machines", query, {"if-none-match": tag}))
        resolved = [await self.ask("/api/resolve", {"q": name, "workspace": query["workspace"]}) for name in names]
        assert all(answer.status == 304 for answer in unchanged), "an unchanged list was told as a new one"
        assert all(answer.status == 200 for answer in resolved), "a name was not resolved"
        return {
            "firstListMs": round(first.took_ms, 1),
            "listBytes": lists[-1].size,
            "list": _costs(lists),
            "unchangedList": _costs(unchanged),
            "resolve": _costs(resolved),
        }

    async def ask(self, path: str, query: dict[str, str], headers: dict[str, str] | None = None) -> Asked:
        """One GET, straight into the application: no socket, no server, no client library in the times."""
        given = {"host": urlsplit(self._servers.urls[0]).netloc, "authorization": f"Bearer {self._servers.token}"}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": urlencode(query).encode(), "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in (given | (headers or {})).items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[Message] = []

        request: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if not request:
                await asyncio.get_running_loop().create_future()  # nobody hangs up; the caller cancels this
            return request.pop()

        async def send(message: Message) -> None:
            sent.append(message)

        loop = asyncio.get_running_loop()
        async with HoldMeter() as meter:
            began = loop.time()
            await self._web(scope, receive, send)
            took_ms = (loop.time() - began) * 1000
        size = sum(len(message.get("body", b"")) for message in sent)
        return Asked(sent[0]["status"], size, dict(sent[0]["headers"]), took_ms, meter.worked_ms, meter.longest_ms)

    async def _forget_presence(self) -> None:
        """Make the next list read presence again, as the first one after any change does."""
        view = await self._directory.lately(self._servers.workspace)
        view.version, view.read_at = -1, 0.0


@asynccontextmanager
async def inside(servers: Servers) -> AsyncIterator[Inside]:
    """A node over the registry and the Redis of these servers."""
    settings = Settings(
        redis_url=servers.redis_url,
        database_url=servers.database_url,
        secret=servers.secret,
        public_url=servers.urls[0],
        sqlite_with_remote_redis=True,
    )
    async with open_node(settings) as node:
        gc.collect()
        gc.freeze()  # as a node does after its start
        yield Inside(node, servers)
