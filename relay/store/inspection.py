"""Asks every server of Redis what an operator should know of it, and the cluster what its nodes agreed on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from relay.rules import checkup, timing
from relay.rules.checkup import Finding
from relay.store.belonging import holder
from relay.store.connection import answering, ask
from relay.store.keys import Keys
from relay.store.leases import Lease, Leases
from relay.store.memory import Memory, independent, some
from relay.store.slots import Slots

SETTINGS = ("maxmemory", "maxmemory-policy", "client-output-buffer-limit", "cluster-node-timeout")


class Server:
    """One server of Redis. Methods raise `Unavailable`; what its rules do not let us ask is simply not known."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        answer = await self._allowed("INFO", section)
        if isinstance(answer, Mapping):
            return {str(name): str(value) for name, value in answer.items()}
        lines = [line.partition(":") for line in str(answer or "").splitlines() if not line.startswith("#")]
        return {name: value for name, _, value in lines if name}

    async def settings(self) -> dict[str, str]:
        """What CONFIG says of those that matter."""
        found: dict[str, str] = {}
        for name in SETTINGS:
            answer = await self._allowed("CONFIG", "GET", name)
            if isinstance(answer, Mapping):
                found.update({str(key): str(value) for key, value in answer.items()})
            elif answer:
                found.update(zip(map(str, answer[::2]), map(str, answer[1::2]), strict=True))
        return found

    async def ahead_ms(self) -> int:
        """How far this host's clock is ahead of the server's."""
        before = time.time()
        seconds, microseconds = await ask(self._client, "TIME")
        middle = (before + time.time()) / 2
        return int((middle - int(seconds) - int(microseconds) / 1e6) * 1000)

    async def _allowed(self, *words: str) -> Any:
        try:
            with answering():
                return await self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except ResponseError:
            return None


class Inspection:
    """Looks and changes nothing. Methods raise `Unavailable`."""

    def __init__(self, memory: Memory, keys: Keys) -> None:
        self._memory = memory
        self._keys = keys

    async def servers(self) -> list[Server]:
        """Every server that has keys of ours."""
        if isinstance(self._memory, Redis):
            return [Server(self._memory)]
        await self._memory.slots.learn()
        return [Server(self._memory.slots.client(address)) for address in sorted(self._memory.slots.addresses)]

    async def findings(self) -> list[Finding]:
        """What is to be said of the servers, each thing once."""
        cluster = not isinstance(self._memory, Redis) and isinstance(self._memory.slots, Slots)
        found: list[Finding] = []
        for server in await self.servers():
            found.append(checkup.redis_version(await server.info("server")))
            found += checkup.redis_settings(await server.settings(), cluster=cluster)
            found.append(checkup.clock(await server.ahead_ms()))
        return list(dict.fromkeys(found))

    async def agreement(self, chosen: Mapping[str, float]) -> Finding:
        """Whether this code keeps the cluster's times; those that an operator chose, or did before, are no matter."""
        here = timing.agreed() | dict(chosen)
        asked = [*here, *(f"chosen {name}" for name in here)]
        servers = independent(self._memory)
        there: dict[str, float] = {}
        for stored in await some(ask(server, "HMGET", self._keys.agreement, *asked) for server in servers):
            found = dict(zip(asked, stored, strict=True))
            told = {
                name: float(found[name]) for name in here if found[name] is not None and found[f"chosen {name}"] is None
            }
            there |= {name: value for name, value in told.items() if there.get(name, here[name]) == here[name]}
        return checkup.timing(here, there)

    async def owner(self) -> str | None:
        """The registry whose cluster this is."""
        return await holder(self._memory, self._keys)

    async def nodes(self) -> list[Lease]:
        """The nodes that live."""
        return await Leases(self._memory, self._keys).live()
