"""Divides the keys among Redis servers that know nothing of each other, an equal part of the slots to each."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError

from relay.errors import Misconfigured
from relay.store.connection import connect
from relay.store.listed import read
from relay.store.servers import Address

SCHEMES = {"redis+shards": "redis", "rediss+shards": "rediss"}  # and that of each of its servers
SERVERS = 64  # as many as there are shards; with more some would have none


class Division:
    """The servers of a URL, in its order: the first has the first part of a Cluster's slots, and so on. Nothing moves
    between them: another list is another division, and what it holds is told anew by the nodes."""

    def __init__(self, url: str) -> None:
        self._listed = read(url, SCHEMES, "the Redis shards")
        self.order = self._listed.addresses
        self.addresses = frozenset(self.order)
        if len(self.addresses) < len(self.order):
            raise Misconfigured("RELAY_REDIS_URL: a server of the Redis shards is listed twice")
        if len(self.order) > SERVERS:
            raise Misconfigured(f"RELAY_REDIS_URL: at most {SERVERS} Redis shards can be of use")
        self._clients = {address: connect(self._listed.url(address)) for address in self.order}

    @property
    def text(self) -> str:
        """The list without what is secret: two divisions are the same if this is."""
        return ",".join(f"{host}:{port}" for host, port in self.order)

    def owner(self, key: str) -> Address:
        """Who holds a key or channel."""
        return self.order[key_slot(key.encode()) * len(self.order) // REDIS_CLUSTER_HASH_SLOTS]

    def client(self, address: Address) -> Redis:
        """The client of one server."""
        return self._clients[address]

    def connection(self, address: Address) -> AbstractConnection:
        """A connection to one server, not yet connected."""
        return self.client(address).connection_pool.make_connection()  # type: ignore[no-untyped-call, no-any-return]

    def moved(self, error: MovedError, asked: Address) -> Address:
        """Nothing moves here: this server is of a Cluster, and the URL does not say so."""
        return asked

    async def learn(self) -> None:
        """There is nothing to learn."""

    async def aclose(self) -> None:
        """Leave no connection behind."""
        for client in self._clients.values():
            await client.aclose()


def is_division(url: str) -> bool:
    """Whether a URL lists servers that know nothing of each other."""
    return url.partition("://")[0] in SCHEMES
