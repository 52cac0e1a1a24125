"""Owns the connection pool, transactions, and what an unreachable database looks like to everybody else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Executable, Row, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.errors import Misconfigured, RegistryUnavailable
from relay.registry.engines import POOL_CONNECTIONS, Trust, postgresql_engine, sqlite_engine
from relay.registry.failures import AWAY, BUSY, READ_ONLY, BeginAgain, answering, sqlstate
from relay.rules import metrics
from relay.rules.tally import Tally

SQLITE_DRIVER = "sqlite+aiosqlite"
POSTGRESQL_DRIVER = "postgresql+asyncpg"
ANSWER_SECONDS = 4.5  # whoever asks is told within five that nobody answers; a transaction takes milliseconds
PATIENT_SECONDS = 30.0  # for what nobody waits for, and what happens once: cleaning up, migrating
WAIT_PARTS = 2.5  # of that time for other processes, or to connect; one's turn in this process may take the rest
WRITERS = POOL_CONNECTIONS // 2  # transactions at a time that may write to PostgreSQL
UNDER_WAY = 1_000  # transactions at a time, nearly all waiting: more than a healthy registry ever keeps waiting
TRANSACTION_ATTEMPTS = 5  # PostgreSQL ends one of two transactions that wait for each other

T = TypeVar("T")


class Database:
    """One SQLite file or PostgreSQL database."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.url = checked(url)
        self.sqlite = self.url.drivername == SQLITE_DRIVER
        self.seconds = {access: Tally(metrics.SQL_SECONDS) for access in metrics.ACCESS.values}  # of transactions
        self.failures: Counter[str] = Counter()  # by access: transactions that it did not do
        self.answer_seconds = answer_seconds
        self._wait_seconds = wait_seconds = answer_seconds / WAIT_PARTS
        self._turn_seconds = answer_seconds - wait_seconds
        self._trust = Trust()
        if self.sqlite:
            self._engine = sqlite_engine(self.url, answer_seconds, wait_seconds)
        else:
            self._engine = postgresql_engine(self.url, answer_seconds, wait_seconds, self._trust)
        # SQLite's own waiting is unfair polling: inside one process writers queue in order instead. PostgreSQL's wait
        # for each other's rows, and those who read are not to wait with them for a connection.
        self._writing = asyncio.Semaphore(1 if self.sqlite else WRITERS)
        self._check: Callable[[AsyncConnection], Awaitable[None]] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._refused: set[asyncio.Task[Any] | None] = set()  # those of them whose callers were told that they failed
        self._connected: dict[asyncio.Task[Any] | None, float] = {}  # who waits for the server itself, since when

    async def close(self) -> None:
        """Close every connection, once the transactions under way have ended."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._engine.dispose()

    def check_writes(self, check: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Begin every transaction that may write with this, which raises if it may not."""
        self._check = check

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that changes nothing, for tasks that nobody cancels; raises `RegistryUnavailable`."""
        with answering(uncommitted=True):
            async with self._engine.begin() as connection, self._waiting():
                yield connection

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write, committed at the end and rolled back on any error, for tasks that nobody
        cancels."""
        with answering():
            async with self._turn(), self._engine.connect() as connection, self._waiting():
                await connection.execution_options(relay_writes=True)
                async with connection.begin():
                    with answering(uncommitted=True):
                        try:
                            self._still_wanted()
                            if self._check is not None:
                                await self._check(connection)
                            yield connection
                            self._still_wanted()
                        except exc.DBAPIError as error:
                            if sqlstate(error) == READ_ONLY and not self.sqlite:
                                await connection.invalidate(error)  # who answers there now may be another server
                            raise

    async def attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `work` answers from inside a writing transaction, begun again if it lost a race to another one or its
        connection before it was to commit. It comes to its end even if the caller is cancelled: half-way the driver
        would leave SQLite's lock to a dead thread. Raises `RegistryUnavailable` within five seconds; then the
        transaction was done whole, or not at all."""
        return await self._in_time(self._again(self.exclusive, work), "write")

    async def ask(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `work` answers from inside a transaction that changes nothing; cancelled callers, and those that nobody
        answers, as for `attempt`."""
        return await self._in_time(self._again(self.read, work), "read")

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
        """Delete rows, however long it takes; the answer is how many."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._in_time(self._again(self.exclusive, work), "write", PATIENT_SECONDS)

    async def _in_time(self, transaction: Coroutine[Any, Any, T], access: str, seconds: float | None = None) -> T:
        seconds = seconds or self.answer_seconds
        if len(self._under_way) >= UNDER_WAY:
            transaction.close()
            self.failures[access] += 1
            raise RegistryUnavailable(BUSY)
        task = asyncio.create_task(transaction if self.sqlite else self._cut(transaction, seconds))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            now = asyncio.get_running_loop().time()
            self._refused.add(task)
            if now - self._connected.get(task, now) >= self._wait_seconds:
                self._trust.broken()  # it did not wait for others here, who may be served well
            self.failures[access] += 1
            raise RegistryUnavailable(AWAY) from None
        except RegistryUnavailable:
            self.failures[access] += 1
            raise
        finally:
            self.seconds[access].add(time.perf_counter() - began)

    def _still_wanted(self) -> None:
        """Undo what somebody was told has failed, as far as this transaction has not begun to be committed: SQLite's go
        on when their turn comes, however late."""
        if asyncio.current_task() in self._refused:
            raise RegistryUnavailable(AWAY)

    async def _cut(self, transaction: Coroutine[Any, Any, T], seconds: float) -> T:
        """Ends a transaction that gets no answer, which may take a moment longer. SQLite's transactions are left to end
        by themselves, as they do."""
        with answering():
            async with asyncio.timeout(seconds):
                return await transaction

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        self._refused.discard(task)
        if not task.cancelled():
            task.exception()  # its caller has heard it, or has left

    async def _again(
        self,
        begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        work: Callable[[AsyncConnection], Awaitable[T]],
    ) -> T:
        for _ in range(TRANSACTION_ATTEMPTS - 1):
            try:
                async with begin() as connection:
                    return await work(connection)
            except BeginAgain:
                continue
        async with begin() as connection:
            return await work(connection)

    @asynccontextmanager
    async def _waiting(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        self._connected[task] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._connected.pop(task, None)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """This process's turn to write."""
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._writing.acquire()
        except TimeoutError:
            raise RegistryUnavailable(BUSY) from None
        try:
            yield
        finally:
            self._writing.release()


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
