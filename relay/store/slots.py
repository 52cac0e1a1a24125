"""Knows which server of a Redis Cluster owns which slot, and learns it anew when that turns out to be wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError, ResponseError

from relay.errors import Misconfigured, Unavailable
from relay.store.connection import ANSWER_SECONDS, cancellable, connect
from relay.store.listed import read
from relay.store.servers import Address

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}  # and that of each of its servers
LEARN_SECONDS = 0.25  # between two questions for the map: a thousand commands that fail at once ask it once
PATIENCE_SECONDS = 0.3  # for one server's map, before another is asked as well: a healthy one takes a millisecond

# redis-py has a client for clusters. In a failover it closes all connections of all servers at each failed command and
# asks for the map as often; it refuses what its pools have no connection for instead of letting it queue; and each
# command makes several retries of its own, so that no wait has a bound that we could name. So this is a table of slots,
# with the client that a single server gets for each primary.


class Slots:
    """The map of a Cluster, and a client for each of its servers. It is empty until `learn`."""

    def __init__(self, url: str) -> None:
        self._listed = read(url, SCHEMES, "a Redis Cluster")
        self._seeds = frozenset(self._listed.addresses)
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._members = self._seeds  # who may be asked for the map: primaries and replicas
        self._clients: dict[Address, Redis] = {}
        self._learning: asyncio.Task[None] | None = None
        self._learned = float("-inf")  # when somebody last asked for the map, by the loop's clock
        self.addresses: frozenset[Address] = frozenset()  # the primaries that own slots
        self.client(self._listed.addresses[0])  # which refuses now what no server could be reached with

    def owner(self, key: str) -> Address:
        """Who owns the key's slot; raises `Unavailable` when nobody is known to."""
        found = self._owners[key_slot(key.encode())]
        if found is None:
            raise Unavailable("the relay's memory (Redis) has no server for this now")
        return found

    def client(self, address: Address) -> Redis:
        """The client of one server."""
        found = self._clients.get(address)
        if found is None:
            found = self._clients[address] = connect(self._listed.url(address))
        return found

    def connection(self, address: Address) -> AbstractConnection:
        """A connection to one server, not yet connected."""
        return self.client(address).connection_pool.make_connection()  # type: ignore[no-untyped-call, no-any-return]

    def moved(self, error: MovedError, asked: Address) -> Address:
        """Believe a server that says where a slot is; the owner, to be asked instead."""
        owner = Address(error.host or asked.host, error.port)
        self._owners[error.slot_id] = owner
        return owner

    async def learn(self) -> None:
        """Ask for the map, unless somebody did a moment ago. Of many who call, one asks. Raises `Unavailable` when no
        server answers, and `Misconfigured` for servers that are no Cluster."""
        if self._learning is None:
            if asyncio.get_running_loop().time() - self._learned < LEARN_SECONDS:
                return
            self._learning = asyncio.create_task(self._learn())
            self._learning.add_done_callback(self._done)
        await asyncio.shield(self._learning)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._learning = None
        self._learned = task.get_loop().time()
        if not task.cancelled():
            task.exception()  # perhaps nobody waits any more

    async def _learn(self) -> None:
        rows, asked = await self._first_map()
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        members: set[Address] = set()
        for first, last, *servers in rows:
            addresses = [_address(server, asked) for server in servers]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            members.update(address for address in addresses if address is not None)
        self._owners = owners
        self._members = frozenset(members)
        self.addresses = frozenset(owner for owner in owners if owner is not None)
        for address in self._clients.keys() - self._members:
            await self._clients.pop(address).aclose()  # it has left the Cluster

    async def _first_map(self) -> tuple[Sequence[Any], Address]:
        """The map of whoever answers first, asked one after the other in short turns, in any order: a server that
        hangs holds nobody up, and one that is wrong is not asked twice in a row."""
        candidates = list(self._members | self._seeds)
        random.shuffle(candidates)
        asking: dict[asyncio.Task[Any], Address] = {}
        waiting: set[asyncio.Task[Any]] = set()
        failures: list[BaseException | None] = []
        try:
            while candidates or waiting:
                if candidates:
                    task = asyncio.create_task(self._ask(candidates[-1]))
                    asking[task] = candidates.pop()
                    waiting.add(task)
                patience = PATIENCE_SECONDS if candidates else None
                done, waiting = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is None and task.result():
                        return task.result(), asking[task]
                    failures.append(task.exception())
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if not self.addresses and any(isinstance(each, ResponseError) for each in failures):
            raise Misconfigured(f"RELAY_REDIS_URL: no Redis Cluster there: {next(filter(None, failures))}")
        raise Unavailable("the relay's memory (Redis) does not answer")

    async def _ask(self, address: Address) -> Any:
        """One server's map, over a connection of its own: the pool's may all be waiting for a server that hangs."""
        connection = self.connection(address)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                with cancellable():
                    await connection.connect()  # type: ignore[no-untyped-call]
                    await connection.send_command("CLUSTER", "SLOTS")
                    return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Leave no connection behind."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()


def is_cluster(url: str) -> bool:
    """Whether a URL names a Redis Cluster."""
    return url.partition("://")[0] in SCHEMES


def _address(server: Sequence[Any], asked: Address) -> Address | None:
    """A server of the map; it may leave out the address at which it was asked, or not know somebody's name."""
    host = server[0] or asked.host
    return None if host == "?" else Address(host, int(server[1]))
