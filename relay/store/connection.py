"""Opens the cluster's Redis from its URL, with bounded connections and bounded waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import unquote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.maint_notifications import MaintNotificationsConfig

from relay.errors import Misconfigured, Unavailable
from relay.store.packing import packing

CONNECTIONS = 64  # per process; a reconnect storm queues for them instead of failing
POOL_WAIT_SECONDS = 5.0  # in that queue; half of a hello's deadline
ANSWER_SECONDS = 3.0  # for any command; the slowest script takes milliseconds
CONNECT_SECONDS = 2.0
RETRIES = 1  # a pooled connection may have died with the server before; a second failure is news
SENTINEL_PORT = 26379

# What Redis answers when it is fine that we asked, but it cannot do it now: full, read-only after a failover, busy
# with a script, not persisting, without enough replicas, giving a slot away. redis-py has classes for some and takes
# their first word off.
_NOT_NOW_CLASSES = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError, AskError)  # and MovedError
_NOT_NOW_WORDS = ("BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN")
_CLOSED_WORDS = "the handler is closed"  # uvloop, of a connection that Redis closed a moment ago


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Asks the sentinels where the primary is, and queues when all connections are in use."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; when it is all of them, those to the sentinels too, which redis-py leaves open."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def connect(url: str) -> Redis:
    """A client with a bounded, blocking pool for redis, rediss, unix or redis+sentinel; raises `Misconfigured` for
    other schemes and malformed URLs. It connects lazily: an unreachable Redis shows at the first command."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme == "redis+sentinel":
        return Redis.from_pool(_sentinel_pool(url))
    if scheme not in {"redis", "rediss", "unix"}:
        expected = "redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or redis+shards://"
        raise Misconfigured(f"RELAY_REDIS_URL: {scheme or 'no'} scheme; expected {expected}")
    try:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=POOL_WAIT_SECONDS, **_connection_options()
        )
    except ValueError as error:
        raise Misconfigured(f"RELAY_REDIS_URL: {error}") from None
    pool.connection_class = packing(pool.connection_class)
    return Redis.from_pool(pool)


@contextmanager
def answering() -> Iterator[None]:
    """Turns what redis-py raises when Redis does not answer, or cannot write now, into `Unavailable`."""
    try:
        with cancellable():
            yield
    except ResponseError as error:
        if isinstance(error, _NOT_NOW_CLASSES) or str(error).startswith(_NOT_NOW_WORDS):
            raise Unavailable("the relay's memory (Redis) cannot take this now") from error
        raise  # we asked something wrong
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _CLOSED_WORDS not in str(error):
            raise  # a mistake of ours
        raise Unavailable("the relay's memory (Redis) does not answer") from error


@contextmanager
def cancellable() -> Iterator[None]:
    """Raises `CancelledError` if the task was cancelled in here and something kept that from it.

    Before Python 3.12 `asyncio.wait_for`, in which redis-py writes, forgets a cancellation that arrives together with
    its result: every sixth of those that hit a command. A loop of ours would go on for ever, and a timeout be none.
    """
    task = asyncio.current_task()
    assert task is not None
    asked_before = task.cancelling()  # a task that cleans up after its own cancellation may still talk to Redis
    try:
        yield
    finally:
        if task.cancelling() > asked_before:
            raise asyncio.CancelledError


async def hand_over(connection: AbstractConnection, protocol: asyncio.Protocol) -> asyncio.StreamWriter:
    """Connect with redis-py, with all it knows of addresses, sentinels, TLS and passwords, and give its socket to
    `protocol`; raises what redis-py raises. The transport lives as long as the writer is kept."""
    try:
        with cancellable():
            await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    writer = connection._writer
    connection._writer = connection._reader = None  # it is not redis-py's any more
    assert writer is not None
    writer.transport.set_protocol(protocol)
    if writer.transport.is_closing():  # lost in between: nobody would hear of it
        raise LostConnection("Connection closed by server.")
    return writer


class Commands(Protocol):
    """Whatever takes one command and gives its answer: a client of redis-py, one of a Cluster, or a `Pipeline`."""

    def execute_command(self, *words: Any) -> Awaitable[Any]:
        """Send it; raises as redis-py does."""


async def ask(redis: Commands, *words: str | int) -> Any:
    """One command and its answer; raises `Unavailable`."""
    with answering():
        return await redis.execute_command(*words)


def addresses(hosts: str, default_port: int, whose: str) -> list[tuple[str, int]]:
    """The (host, port) of a list in a URL; raises `Misconfigured` for one that is neither HOST:PORT nor HOST."""
    found = []
    for address in hosts.split(","):
        host, colon, port = address.rpartition(":")
        if not colon:
            host, port = port, str(default_port)
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise Misconfigured(f"RELAY_REDIS_URL: {address!r} is not HOST:PORT of {whose}")
        found.append((host.strip("[]"), int(port)))
    return found


def _connection_options() -> dict[str, Any]:
    return {
        "decode_responses": True,
        "protocol": 3,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), RETRIES, supported_errors=(LostConnection,)),
        # A vendor's handshake that plain Redis and Valkey answer with an error, at every connection.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _sentinel_pool(url: str) -> _SentinelPool:
    """redis+sentinel://[user:password@]host:port,host:port/master[/database]; the password is the data servers'."""
    # By hand: newer Pythons refuse to split a URL whose list of hosts has an IPv6 address after the first.
    place, _, path = url.partition("://")[2].partition("/")
    credentials, _, hosts = place.rpartition("@")
    user, _, password = credentials.partition(":")
    name, _, database = path.strip("/").partition("/")
    sentinels = addresses(hosts, SENTINEL_PORT, "a sentinel")
    if not name or (database and not database.isdigit()):
        raise Misconfigured("RELAY_REDIS_URL: redis+sentinel://HOST:PORT,HOST:PORT/MASTER[/DATABASE] is expected")
    patience = {
        "socket_timeout": CONNECT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),  # the next sentinel is the retry
    }
    manager = Sentinel(sentinels, sentinel_kwargs=patience)  # type: ignore[no-untyped-call]
    options = _connection_options()
    options.update(username=unquote(user) or None, password=unquote(password) or None, db=int(database or 0))
    bounds = {"max_connections": CONNECTIONS, "timeout": POOL_WAIT_SECONDS}
    pool = _SentinelPool(name, manager, **bounds, **options)  # type: ignore[no-untyped-call]
    pool.connection_class = packing(pool.connection_class)
    return pool
