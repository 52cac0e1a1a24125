"""Makes the connection pools of the two databases: what a connection is set to, and when it is trusted no more."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import URL, event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_CONNECTIONS = 8  # a node's cache misses and one sweeper's batches; PostgreSQL's default allows 100 in all
SQLITE_CONNECTIONS = 4  # each is a thread; SQLite lets one write at a time anyway
STATEMENT_SECONDS = 30.0  # far above any statement here; callers have gone before, this ends what they left behind

# A server may be set to acknowledge what is not on its disk yet; a revocation that was acknowledged must be there.
ON_DISK = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


class Trust:
    """Until when connections were made that are not to be used any more, because the server left one unanswered."""

    def __init__(self) -> None:
        self._broken_at = -1.0

    def broken(self) -> None:
        """Whoever answers at this address now, the connections made so far do not lead there."""
        self._broken_at = time.monotonic()

    def holds(self, made_at: float) -> bool:
        """Whether a connection made then may be used."""
        return made_at > self._broken_at


def sqlite_engine(url: URL, turn_seconds: float, wait_seconds: float) -> AsyncEngine:
    """Connections to a file. One's turn may take so long, and other processes that write to it so long."""
    engine = create_async_engine(
        url,
        pool_size=SQLITE_CONNECTIONS,
        max_overflow=0,
        pool_timeout=turn_seconds,
        hide_parameters=True,  # what people store has no place in a traceback
        connect_args={"timeout": 0},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {int(wait_seconds * 1000)}",
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


def postgresql_engine(url: URL, turn_seconds: float, wait_seconds: float, trust: Trust) -> AsyncEngine:
    """Connections to a server. One's turn may take so long, and what others hold so long. A connection that was closed
    from there, or made before trust broke, is replaced when it is to be used: that costs a restarted server's clients a
    reconnect and not an error. Nothing is asked of it to find out (a "pre-ping"), for a server that vanished would
    leave that unanswered as well."""
    engine = create_async_engine(
        url,
        pool_size=POOL_CONNECTIONS,
        max_overflow=0,
        pool_timeout=turn_seconds,
        hide_parameters=True,
        connect_args={"timeout": wait_seconds, "command_timeout": STATEMENT_SECONDS},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        record.info["made_at"] = time.monotonic()
        cursor = connection.cursor()
        cursor.execute(ON_DISK)
        cursor.execute(f"SET lock_timeout = {int(wait_seconds * 1000)}")  # somebody else's lock is no dead server
        cursor.close()
        connection.commit()

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, record: Any, _proxy: object) -> None:
        if connection.driver_connection.is_closed() or not trust.holds(record.info["made_at"]):
            connection.driver_connection.terminate()  # else it says goodbye, and waits two seconds for an answer
            raise exc.DisconnectionError("this connection is of the past")

    return engine
