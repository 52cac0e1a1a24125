"""Names the servers that a Redis URL stands for, and which of them holds a key: one, or the primaries of a Cluster."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError

from relay.store.connection import connect


class Address(NamedTuple):
    """One server, by its address."""

    host: str
    port: int


class Servers(Protocol):
    """What the bus and the pipeline need to know: they keep one connection of their own to each server."""

    @property
    def addresses(self) -> frozenset[Address]:
        """Every server that holds keys; none before the first `learn` of a Cluster."""

    def owner(self, key: str) -> Address:
        """Who holds a key or channel, as far as is known; raises `Unavailable` when nobody is known to."""

    def connection(self, address: Address) -> AbstractConnection:
        """A connection to a server, not yet connected."""

    def moved(self, error: MovedError, asked: Address) -> Address:
        """Believe a server that says who holds a key; who that is."""

    async def learn(self) -> None:
        """Find out anew which servers there are; raises `Unavailable`, and then all is as it was."""

    async def aclose(self) -> None:
        """Leave no connection behind."""


async def owner_anew(servers: Servers, key: str) -> Address:
    """Who holds a key that nobody was known to hold: perhaps somebody has been given it since. Raises `Unavailable`."""
    await servers.learn()
    return servers.owner(key)


class OneServer:
    """All keys on one server. With sentinels too it has one address: they are asked at each connection."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._address = Address("", 0)
        self.addresses = frozenset({self._address})

    def owner(self, key: str) -> Address:
        """The only one."""
        return self._address

    def connection(self, address: Address) -> AbstractConnection:
        """A connection to it."""
        return self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call, no-any-return]

    def moved(self, error: MovedError, asked: Address) -> Address:
        """There is nobody else: this server is of a Cluster, and its URL does not say so."""
        return asked

    async def learn(self) -> None:
        """There is nothing to learn."""

    async def aclose(self) -> None:
        """Leave no connection behind."""
        await self._client.aclose()
