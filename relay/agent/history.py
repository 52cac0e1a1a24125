"""Keeps sessions and the tails of their output in SQLite on this machine, by one thread beside the event loop."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from relay.client.private_files import make_folder, open_own
from relay.errors import Misconfigured
from relay.rules import frames, limits, messages
from relay.rules.messages import Session

TAIL_BYTES = 128 * limits.KIB  # output kept per session: a few screens, and at most 64 MiB on disk in all
KEPT_SESSIONS = 500  # the newest ones; months for a person, hours for a build box
BUSY_SECONDS = 5.0  # somebody looks into the file with a tool of their own
RESTARTED = "agent-restarted"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, started_at REAL NOT NULL,
    ended_at REAL, exit_code INTEGER, ended TEXT, columns INTEGER NOT NULL, rows INTEGER NOT NULL,
    heard_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_by_start ON sessions (started_at);
CREATE TABLE IF NOT EXISTS output (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, sequence INTEGER NOT NULL, frame BLOB NOT NULL,
    UNIQUE (session, sequence)
);
"""
_FIELDS = "id, epoch, kind, title, started_at, ended_at, exit_code, ended, columns, rows"

T = TypeVar("T")


class Entry(NamedTuple):
    """What is new of one session: its description, its frames, and the oldest one that is still of interest."""

    session: Session
    frames: list[bytes]
    keep_from: int


class History:
    """The file. Every method waits for the one thread that has it open, so nothing here holds the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._database: sqlite3.Connection | None = None

    async def open(self, now: float) -> int:
        """Open or make the file (0600), and note that sessions which were live are over. `now` in Unix seconds; the
        epoch of this process, which no process before had. Raises `Misconfigured` if the file cannot be used."""
        return await self._run(lambda: self._open(now))

    async def keep(self, entries: list[Entry], now: float) -> None:
        """Write what is new, in one transaction."""
        await self._run(lambda: self._keep(entries, now))

    async def sessions(self, limit: int) -> list[Session]:
        """The newest sessions, newest first."""
        return await self._run(lambda: self._sessions(limit))

    async def session(self, id: str) -> tuple[Session, list[bytes]] | None:
        """One session with the frames that are kept of it."""
        return await self._run(lambda: self._session(id))

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _open(self, now: float) -> int:
        try:
            make_folder(self._path.parent)
            os.close(open_own(self._path))  # SQLite gives its side files the mode of this one
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # losing the last seconds to a power cut is fine here
            database.execute("PRAGMA foreign_keys = ON")
            database.executescript(_SCHEMA)
            (last,) = database.execute("SELECT coalesce(max(epoch), 0) FROM sessions").fetchone()
            database.execute(
                "UPDATE sessions SET ended_at = heard_at, ended = ? WHERE ended_at IS NULL",
                (RESTARTED,),
            )
        except (OSError, sqlite3.Error) as error:
            raise Misconfigured(f"{self._path} cannot be used for the history of sessions: {error}") from None
        self._database = database
        return max(int(now), int(last) + 1)

    def _open_database(self) -> sqlite3.Connection:
        assert self._database is not None, "the history is opened before it is used"
        return self._database

    def _keep(self, entries: list[Entry], now: float) -> None:
        database = self._open_database()
        database.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                self._keep_one(database, entry, now)
            database.execute(
                "DELETE FROM sessions WHERE ended_at IS NOT NULL AND id NOT IN"
                " (SELECT id FROM sessions ORDER BY started_at DESC LIMIT ?)",
                (KEPT_SESSIONS,),
            )
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _keep_one(self, database: sqlite3.Connection, entry: Entry, now: float) -> None:
        s = entry.session
        database.execute(
            f"INSERT INTO sessions ({_FIELDS}, heard_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"  # noqa: S608
            " title = excluded.title, ended_at = excluded.ended_at, exit_code = excluded.exit_code,"
            " ended = excluded.ended, columns = excluded.columns, rows = excluded.rows, heard_at = excluded.heard_at",
            (s.id, s.epoch, s.kind, s.title, s.started_at, s.ended_at, s.exit_code, s.ended, s.columns, s.rows, now),
        )
        database.executemany(
            "INSERT OR IGNORE INTO output (session, sequence, frame) VALUES (?, ?, ?)",
            [(s.id, frames.HEADER.unpack_from(frame)[-1], frame) for frame in entry.frames],
        )
        database.execute("DELETE FROM output WHERE session = ? AND sequence < ?", (s.id, entry.keep_from))

    def _sessions(self, limit: int) -> list[Session]:
        rows = self._open_database().execute(
            f"SELECT {_FIELDS} FROM sessions ORDER BY started_at DESC LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [_described(row) for row in rows]

    def _session(self, id: str) -> tuple[Session, list[bytes]] | None:
        database = self._open_database()
        row = database.execute(f"SELECT {_FIELDS} FROM sessions WHERE id = ?", (id,)).fetchone()  # noqa: S608
        if row is None:
            return None
        output = database.execute("SELECT frame FROM output WHERE session = ? ORDER BY sequence", (id,))
        return _described(row), [frame for (frame,) in output]

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _described(row: tuple[object, ...]) -> Session:
    names = ("id", "epoch", "kind", "title", "startedAt", "endedAt", "exitCode", "ended", "columns", "rows")
    return messages.checked(Session, dict(zip(names, row, strict=True)))
