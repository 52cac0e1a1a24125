"""Asks a node inside this process, where its event loop can be watched while it answers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from starlette.types import Message

from loadtests.hold import HoldMeter
from loadtests.numbers import summary
from loadtests.servers import Servers
from relay.app import Node
from relay.node.view import PARTS
from relay.opening import open_node
from relay.rules import resolver
from relay.settings import Settings

ROUNDS = 20  # the machine is shared with the load, so single rounds prove nothing
FIRST_LISTS = 5  # each of a node that has just begun
LOOKS = PARTS  # of a node at beats within a minute
CHANGED = 5  # machines that change between two lists


class Asked(NamedTuple):
    """One call and what it cost."""

    status: int
    size: int
    headers: dict[bytes, bytes]
    took_ms: float
    worked_ms: float  # by the loop's thread
    held_ms: float  # of that, the most in one go


def _costs(answers: Sequence[Asked]) -> dict[str, dict[str, float]]:
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

    async def measure(self, names: list[str], change: Callable[[int], Awaitable[None]]) -> dict[str, Any]:
        """What lists of everything cost, and resolving each of these names; `change` changes so many machines.

        `list` is one of a fleet that beats, after a few machines changed. `listWithTimes` is such a one as comes every
        ten seconds, when a node looks whom it heard of and reads a part of all presence anew; `costliestOfMinute` is
        such a one for the part that costs most. `listAfterSilence` is for somebody who asks less than once a minute,
        and reads all presence. `unchangedList` is asked with the tag of the list before it. `resolve` is the whole
        call, `resolveInRules` the decision alone.
        """
        query = {"workspace": self._servers.workspace, "limit": "10000"}
        first = await self.first()
        lists: dict[str, list[Asked]] = {"list": [], "listWithTimes": [], "listAfterSilence": []}
        minutes, unchanged = [], []

        async def listed(kind: str, looks: int) -> Asked:
            await change(CHANGED)
            await self._late(looks)
            lists[kind].append(await self.ask("/api/machines", query))
            return lists[kind][-1]

        for _ in range(ROUNDS):
            await listed("list", 0)
            minutes.append([await listed("listWithTimes", 1) for _ in range(LOOKS)])
            last = await listed("listAfterSilence", LOOKS)
            unchanged.append(await self.ask("/api/machines", query, {"if-none-match": last.headers[b"etag"].decode()}))
        resolved = [await self.ask("/api/resolve", {"q": name, "workspace": query["workspace"]}) for name in names]
        tags = {answer.headers[b"etag"] for answers in lists.values() for answer in answers}
        assert len(tags) == sum(len(answers) for answers in lists.values()), "a change went unseen"
        assert all(answer.status == 304 for answer in unchanged), "an unchanged list was told as a new one"
        assert all(answer.status == 200 for answer in resolved), "a name was not resolved"
        return {
            "listBytes": first.size,
            **{kind: _costs(answers) for kind, answers in lists.items()},
            "costliestOfMinute": max(map(_costs, zip(*minutes, strict=True)), key=lambda cost: cost["workedMs"]["p50"]),
            "unchangedList": _costs(unchanged),
            "resolve": _costs(resolved),
            "resolveInRules": {"workedMs": summary(await self._decide(names))},
        }

    async def first(self) -> Asked:
        """A node's very first list, if it is: it reads all rows and all presence, and writes every machine."""
        asked = await self.ask("/api/machines", {"workspace": self._servers.workspace, "limit": "10000"})
        assert asked.status == 200, f"the list answered {asked.status}"
        return asked

    async def _decide(self, names: list[str]) -> list[float]:
        """What the resolver's own work on each of these names is."""
        view = await self._directory.lately(self._servers.workspace)
        candidates = [view.candidate(row) for row in view.rows.values()]
        took = []
        for name in names:
            began = time.thread_time()
            resolver.resolve(name, candidates)
            took.append((time.thread_time() - began) * 1000)
        return took

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

    async def _late(self, looks: int) -> None:
        """Let the next list find that so many looks at beats are due."""
        (await self._directory.lately(self._servers.workspace)).looked -= looks


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


async def first_lists(servers: Servers) -> dict[str, Any]:
    """What the first list of a node costs, by several nodes, one after the other."""
    answers = []
    for _ in range(FIRST_LISTS):
        async with inside(servers) as node:
            answers.append(await node.first())
    return _costs(answers)
