"""Plays people, keys and machines against one node's REST, so that tests read as sentences about the product."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx2
from starlette.applications import Starlette
from starlette.routing import Route

from relay.app import Node, unix_ms
from relay.errors import Close
from relay.node.agent import Agent
from relay.opening import open_node
from relay.registry import SYSTEM, Actor, Person, migrate
from relay.rules import tokens
from relay.rules.access import Role
from relay.rules.agent_messages import AgentHello
from relay.rules.presence import Fence, Info
from relay.settings import Settings
from relay.store import Admitted, Announcement, Beat, Lease, connect
from relay.web.call import Call
from relay.web.documents import documents
from relay.web.measures import create_metrics
from relay.web.parts import Parts
from relay.web.site import create_web
from tests.support.valkey import Valkey

URL = "http://relay.test"
SECRET = "a-secret-of-the-test-cluster-which-is-long-enough"
DAY_MS = 86_400_000


class Clock:
    """The wall clock of the site; tests move it."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return unix_ms() + self.ahead_ms


class HeldSocket:
    """The socket of an agent, as far as the hub uses one."""

    def __init__(self) -> None:
        self.closed: Close | None = None

    def send_text(self, data: bytes) -> bool:
        """Nobody reads it."""
        return True

    def send_binary(self, data: bytes) -> bool:
        """Nobody reads it."""
        return True

    def send_ready(self, data: bytes) -> bool:
        """Nobody reads it."""
        return True

    async def drained(self) -> None:
        """Nothing ever waits here."""

    def close(self, code: Close) -> None:
        """Remember the first code, as a peer would."""
        self.closed = self.closed or code


class Site:
    """One node with its real registry and Redis; REST is asked in process."""

    def __init__(self, node: Node, parts: Parts, clock: Clock, app: Starlette, valkey: Valkey) -> None:
        self._valkey = valkey
        self.redis_stopped = False
        self.node = node
        self.parts = parts
        self.clock = clock
        self.app = app
        self.workspace = ""
        self.owner = Person("", "")

    def stop_redis(self) -> None:
        """Redis is gone, with all that it knew, until the end of the test."""
        self._valkey.stop()
        self.redis_stopped = True

    async def settle(self) -> None:
        """Redis has listened long enough for silence to be believed."""
        await self.parts.presence.beat(self.node.boot, [])
        redis = await connect(self._valkey.url)
        keys = self.node.keys
        await redis.hset(keys.of(keys.shard(self.workspace), "marker"), "settled", "1")
        await redis.aclose()

    async def found(self) -> None:
        """A cluster with its first workspace, called acme, and its owner."""
        founded = await self.parts.registry.workspaces.bootstrap("acme", "Olga", self.clock())
        self.workspace, self.owner = founded.workspace.id, founded.owner

    def client(
        self, token: str | None = None, *, cookie: str | None = None, peer: str = "192.0.2.1", **headers: str
    ) -> httpx2.AsyncClient:
        """Somebody who asks, with a token, a cookie or neither."""
        sent = dict(headers)
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        if cookie is not None:
            sent["cookie"] = f"relay_session={cookie}"
        transport = httpx2.ASGITransport(self.app, client=(peer, 50_000))
        return httpx2.AsyncClient(transport=transport, base_url=self.parts.settings.public_url, headers=sent)

    async def person(self, name: str, role: Role, workspace: str | None = None) -> Caller:
        """Somebody new with a role in the workspace, and their personal token."""
        made = await self.parts.registry.people.create(name, self.clock())
        await self.join(made, role, workspace)
        return await self.caller(made)

    async def join(self, person: Person, role: Role, workspace: str | None = None) -> None:
        """Make a person a member."""
        secret = self._token("link")
        registry, now_ms = self.parts.registry, self.clock()
        digest = self.parts.secrets.hash(secret)
        await registry.links.create_invitation(
            workspace or self.workspace, role, "", digest, now_ms + DAY_MS, SYSTEM, now_ms
        )
        await registry.links.accept([digest], person, None, now_ms)

    async def caller(self, person: Person) -> Caller:
        """A person with a fresh personal token."""
        token = self._token("pat")
        actor = Actor("person", person.id, person.name)
        await self.parts.registry.credentials.create_token(
            person.id, self.parts.secrets.hash(token), "test", None, actor, self.clock()
        )
        return Caller(self, person.id, person.name, token)

    async def key(self, workspace: str | None = None) -> Caller:
        """A workspace key."""
        token = self._token("team")
        made = await self.parts.registry.keys.create(
            workspace or self.workspace, self.parts.secrets.hash(token), "ci", None, SYSTEM, self.clock()
        )
        return Caller(self, made.id, made.name, token)

    async def link(self, person: Person) -> str:
        """The secret of a sign-in link."""
        secret = self._token("link")
        await self.parts.registry.links.create_sign_in(
            person.id, self.parts.secrets.hash(secret), self.clock() + DAY_MS, SYSTEM, self.clock()
        )
        return secret

    async def connect(self, machine: dict[str, Any], token: str) -> HeldSocket:
        """The machine's agent says hello on this node."""
        version = tokens.read_machine(self.parts.secrets, token).token_version
        await self.node.mirror.load(self.node.keys.shard(machine["workspaceId"]), self.node.tail.number)
        await self.parts.registry.machines.settle(machine["id"], version, self.clock())
        held = HeldSocket()
        hello = AgentHello(instance=str(uuid4()), hostname=machine["hostname"], version="1.0")
        agent = Agent(held, machine["workspaceId"], machine["id"], hello, 0.0)
        announcement = Announcement(
            workspace=machine["workspaceId"],
            machine=machine["id"],
            token_version=version,
            connection=uuid4().hex[:8],
            node=self.node.boot,
            revocations_upto=self.node.tail.number,
            info=Info(pid=4711, version="1.0", hostname=machine["hostname"]),
        )
        admitted = await self.parts.presence.announce(announcement)
        assert isinstance(admitted, Admitted), admitted
        agent.fence = Fence(*admitted.fence)
        self.parts.router.agent_admitted(agent)
        return held

    async def beat(self, machine: dict[str, Any], age_ms: int) -> None:
        """The node flushes that it heard the machine so long ago."""
        agent = self.node.hub.agents[machine["id"]]
        assert agent.fence is not None
        lost, _ = await self.parts.presence.beat(
            self.node.boot, [Beat(agent.workspace, agent.machine, agent.fence, age_ms)]
        )
        assert lost == []

    async def drop(self, machine: dict[str, Any]) -> None:
        """The machine's socket is seen to drop."""
        agent = self.node.hub.agents[machine["id"]]
        assert agent.fence is not None
        assert await self.parts.presence.drop(agent.workspace, agent.machine, agent.fence)

    def _token(self, kind: tokens.Kind) -> str:
        return tokens.make(kind, secrets.token_bytes(tokens.RANDOM_BYTES))


class Caller:
    """Somebody with a token."""

    def __init__(self, site: Site, id: str, name: str, token: str) -> None:
        self.site = site
        self.id = id
        self.name = name
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> httpx2.Response:
        """One call."""
        async with self.site.client(self.token) as client:
            return await client.request(method, path, json=body, params=query or None)

    async def get(self, path: str, **query: str) -> Any:
        """The answer to a GET that goes well."""
        response = await self.ask("GET", path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    async def register(self, hostname: str, **more: Any) -> dict[str, Any]:
        """Register a machine; the whole answer."""
        body = {"hostname": hostname, "version": "1.0", "instanceId": str(uuid4()), **more}
        response = await self.ask("POST", "/api/machines", body)
        assert response.status_code in (200, 201), response.text
        found: dict[str, Any] = response.json()
        return found

    async def machine(self, hostname: str, **more: Any) -> dict[str, Any]:
        """Register a machine whose agent said hello once, and which therefore everybody sees; the machine."""
        made = await self.register(hostname, **more)
        version = tokens.read_machine(self.site.parts.secrets, made["machineToken"]).token_version
        await self.site.parts.registry.machines.settle(made["machine"]["id"], version, self.site.clock())
        found: dict[str, Any] = made["machine"]
        return found


# What takes longest of opening a site is the same for all: the documents about its calls, and an empty registry.
_written: dict[str, list[Route]] = {}
_registry: list[bytes] = []


def _documents(calls: Sequence[Call], url: str) -> list[Route]:
    if url not in _written:
        _written[url] = documents(calls, url)
    return _written[url]


async def _empty_registry() -> bytes:
    if not _registry:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "registry.sqlite"
            await migrate(f"sqlite+aiosqlite:///{path}")
            _registry.append(path.read_bytes())
    return _registry[0]


@asynccontextmanager
async def open_site(folder: Path, valkey: Valkey, **settings: Any) -> AsyncIterator[Site]:
    """A node on a registry in `folder`, founded, with its lease and nothing running."""
    path = folder / "registry.sqlite"
    given: dict[str, Any] = {
        "redis_url": valkey.url,
        "database_url": f"sqlite+aiosqlite:///{path}",
        "secret": SECRET,
        "public_url": URL,
        **settings,
    }
    clock = Clock()
    path.write_bytes(await _empty_registry())
    path.chmod(0o600)
    with patch("relay.web.site.documents", _documents):
        async with open_node(Settings(**given)) as node:
            parts = replace(node.parts, clock=clock, readiness=list)
            await parts.leases.renew(Lease(node.boot, URL, clock()))
            site = Site(node, parts, clock, create_web(parts), valkey)
            await site.found()
            try:
                yield site
            finally:
                if site.redis_stopped:
                    valkey.start()


__all__ = ["SECRET", "URL", "Caller", "Clock", "HeldSocket", "Site", "create_metrics", "open_site"]
