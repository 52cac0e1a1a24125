"""Owns the connection pool, transactions, and what an unreachable database looks like to everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Executable, Row, event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from relay.errors import Misconfigured, Unavailable

SQLITE_DRIVER = "sqlite+aiosqlite"
POSTGRESQL_DRIVER = "postgresql+asyncpg"
POOL_CONNECTIONS = 8  # a node's cache misses and one sweeper's batches; PostgreSQL's default allows 100 in all
SQLITE_CONNECTIONS = 4  # each is a thread; SQLite lets one write at a time anyway
POOL_WAIT_SECONDS = 10.0  # for a free connection, or one's turn, before the caller is told that the registry is busy
CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0  # far above any statement here: a server that needs longer is gone
SQLITE_BUSY_MS = 10_000  # other processes on the same file finish their transactions in milliseconds
TRANSACTION_ATTEMPTS = 5  # PostgreSQL ends one of two transactions that wait for each other
LOST_RACES = frozenset({"40001", "40P01"})  # serialization failure, deadlock detected

T = TypeVar("T")


class Database:
    """One SQLite file or PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self.url = checked(url)
        self.sqlite = self.url.drivername == SQLITE_DRIVER
        self._engine = _sqlite_engine(self.url) if self.sqlite else _postgresql_engine(self.url)
        # SQLite's own waiting is unfair polling: inside one process a lock queues writers in order instead.
        self._writing = asyncio.Lock() if self.sqlite else None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Close every connection, once the transactions under way have ended."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that changes nothing, for tasks that nobody cancels; raises `Unavailable`."""
        with answering():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write, committed at the end and rolled back on any error, for tasks that nobody
        cancels."""
        with answering():
            async with self._turn(), self._engine.connect() as connection:
                await connection.execution_options(relay_writes=True)
                async with connection.begin():
                    yield connection

    async def attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `work` answers from inside a writing transaction, begun again if it lost a race to another one. It comes
        to its end even if the caller is cancelled: half-way the driver would leave SQLite's lock to a dead thread."""
        return await self._to_its_end(self._attempt(work))

    async def ask(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `work` answers from inside a transaction that changes nothing; cancelled callers as for `attempt`."""
        return await self._to_its_end(self._ask(work))

    async def rows(self, query: Executable) -> Sequence[Row[Any]]:
        """All rows of a query."""

        async def work(connection: AsyncConnection) -> Sequence[Row[Any]]:
            return (await connection.execute(query)).all()

        return await self.ask(work)

    async def row(self, query: Executable) -> Row[Any] | None:
        """The row of a query that has at most one."""
        found = await self.rows(query)
        assert len(found) <= 1, "this query was to have at most one row"
        return found[0] if found else None

    async def erase(self, statement: Executable) -> int:
        """Delete rows; the answer is how many."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self.attempt(work)

    async def _to_its_end(self, transaction: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(transaction)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its caller has heard it, or has left

    async def _ask(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.read() as connection:
            return await work(connection)

    async def _attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        for _ in range(TRANSACTION_ATTEMPTS - 1):
            try:
                async with self.exclusive() as connection:
                    return await work(connection)
            except LostRace:
                continue
        async with self.exclusive() as connection:
            return await work(connection)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """This process's turn to write, where only one may."""
        if self._writing is None:
            yield
            return
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await self._writing.acquire()
        try:
            yield
        finally:
            self._writing.release()


class LostRace(Unavailable):
    """Another transaction went first; this one changed nothing and may be begun again."""


@contextmanager
def answering() -> Iterator[None]:
    """Turns the many ways in which a database does not answer into `Unavailable`, and leaves our own bugs alone."""
    try:
        yield
    except Exception as error:
        if not _is_outage(error):
            raise
        if _sqlstate(error) in LOST_RACES:
            raise LostRace("the registry is busy") from error
        structlog.get_logger().warning("the registry does not answer", error=type(error).__name__)
        raise Unavailable("the registry does not answer") from error


def checked(url: str) -> URL:
    """The parsed URL; raises `Misconfigured` unless it names one of our two databases."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise Misconfigured("RELAY_DATABASE_URL is not a URL") from None
    if parsed.drivername not in (SQLITE_DRIVER, POSTGRESQL_DRIVER):
        raise Misconfigured(
            f"RELAY_DATABASE_URL begins with {SQLITE_DRIVER}:/// or {POSTGRESQL_DRIVER}://, not {parsed.drivername}:"
        )
    if parsed.drivername == SQLITE_DRIVER:
        if not parsed.database or parsed.database == ":memory:":
            raise Misconfigured("RELAY_DATABASE_URL names a file: several processes share a SQLite registry")
        folder = Path(parsed.database).parent
        if not folder.is_dir():
            raise Misconfigured(f"RELAY_DATABASE_URL names a file in {folder}, which is not a folder")
    return parsed


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=SQLITE_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        hide_parameters=True,  # what people store has no place in a traceback
        connect_args={"timeout": 0},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {SQLITE_BUSY_MS}",
            "synchronous = FULL",  # acknowledged means on disk
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that turns to writing later fails at once instead of waiting its turn.
        writes = connection.get_execution_options().get("relay_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=POOL_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        hide_parameters=True,
        pool_pre_ping=True,  # a restarted server costs a reconnect, not an error
        connect_args={"timeout": CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS},
    )


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return False
    if isinstance(error, exc.DBAPIError | exc.TimeoutError | OSError | TimeoutError):
        return True
    # Refusals during connecting (no such database, too many clients) arrive as the driver's own classes.
    return type(error).__module__.partition(".")[0] == "asyncpg"


def _sqlstate(error: BaseException) -> str | None:
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None)
