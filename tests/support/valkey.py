"""Starts a real Valkey for tests, one per test process, with a clock that tests can move when they ask for it."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from relay.dev.engine import Program, find_engine
from relay.store import Keys, connect

START_SECONDS = 10.0
FAKETIME_PATHS = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


class Valkey:
    """One server on a unix socket in a folder of its own; nothing it holds outlives it."""

    def __init__(self, folder: Path, faketime: Path | None = None, standing: bool = False) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._clock = folder / "clock"
        self._faketime = faketime
        self._ahead = 0.0
        self._stands_at = int(time.time()) if standing else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        environment = dict(os.environ)
        if self._faketime is not None:
            self._set_clock()
            environment |= {
                "LD_PRELOAD": str(self._faketime),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "TZ": "UTC",
            }
        self._process = subprocess.Popen(
            [
                str(server_program()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
                "--save", "", "--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no",
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        give_up = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(RedisError), BlockingRedis(unix_socket_path=str(self.socket)) as client:
                client.ping()
                return
            assert self._process.poll() is None, "Valkey ended while starting"
            assert time.monotonic() < give_up, "Valkey does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop, losing everything; `start` makes an empty server on the same socket."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop the process without closing a socket: a half-open server."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forward(self, seconds: float) -> None:
        """Move this server's clock, lifetimes of keys included, and wait until it has noticed."""
        assert self._faketime is not None, "ask for the fixture `moving_valkey`"
        with BlockingRedis(unix_socket_path=str(self.socket)) as client:
            before = _seconds(client)
            self._ahead += math.ceil(seconds) if self._stands_at is not None else seconds
            self._set_clock()
            give_up = time.monotonic() + START_SECONDS
            while _seconds(client) < before + seconds:  # it keeps a copy of the clock for a few commands
                assert time.monotonic() < give_up, "libfaketime does not move Valkey's clock"

    def empty(self) -> None:
        """Forget everything, as a restart without persistence would."""
        with BlockingRedis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def _set_clock(self) -> None:
        fresh = self._clock.with_suffix(".new")
        if self._stands_at is None:
            fresh.write_text(f"{self._ahead:+f}s\n")
        else:
            fresh.write_text(f"{datetime.fromtimestamp(self._stands_at + math.ceil(self._ahead), UTC):%Y-%m-%d %X}\n")
        fresh.replace(self._clock)


def _seconds(client: BlockingRedis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def server_program() -> Path:
    """The server that `relay dev` would run; never somebody else's, whatever RELAY_REDIS_URL says."""
    found = find_engine({name: value for name, value in os.environ.items() if name in {"RELAY_VALKEY_BIN", "PATH"}})
    assert isinstance(found, Program)
    return found.path


def faketime_library() -> Path | None:
    """Debian's libfaketime, where it is installed."""
    return next((Path(path) for path in FAKETIME_PATHS if Path(path).exists()), None)


def _required_faketime() -> Path:
    library = faketime_library()
    if library is None:
        if os.environ.get("CI") == "true":
            pytest.fail("libfaketime is not installed (Debian package libfaketime)")
        pytest.skip("libfaketime is not installed (Debian package libfaketime)")
    return library


@contextlib.contextmanager
def running(faketime: Path | None = None, standing: bool = False) -> Iterator[Valkey]:
    """A server in a folder of its own, whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="valkey-", dir="/tmp"))
    server = Valkey(folder, faketime, standing)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Valkey]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def _moving_valkey() -> Iterator[Valkey]:
    with running(_required_faketime()) as server:
        yield server


@pytest.fixture(scope="session")
def _standing_valkey() -> Iterator[Valkey]:
    with running(_required_faketime(), standing=True) as server:
        yield server


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """The server of this test process, empty."""
    _valkey.empty()
    return _valkey


@pytest.fixture
def moving_valkey(_moving_valkey: Valkey) -> Valkey:
    """A server whose clock this test may move forward, empty."""
    _moving_valkey.empty()
    return _moving_valkey


@pytest.fixture
def standing_valkey(_standing_valkey: Valkey) -> Valkey:
    """A server whose clock stands still but for what this test moves it (whole seconds), empty: however slow the
    computer is, no more time passes than the test says."""
    _standing_valkey.empty()
    return _standing_valkey


@pytest.fixture
def keys() -> Keys:
    """The keys of the test's cluster."""
    return Keys("test")


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of `valkey`."""
    client = connect(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def standing_redis(standing_valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of `standing_valkey`."""
    client = connect(standing_valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def moving_redis(moving_valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of `moving_valkey`."""
    client = connect(moving_valkey.url)
    yield client
    await client.aclose()
