"""Says what `relay config` finds wrong, shows, hides and documents."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.exceptions import RedisError

from relay.cli import run
from relay.cli.config_doc import page
from relay.environ import read, variables
from relay.rules.tokens import Secrets
from relay.store import Keys, Lease, Leases, Marks, connect
from relay.store.belonging import claim
from relay.store.connection import ask
from relay.urls import masked
from tests.support.ports import free_ports
from tests.support.valkey import START_SECONDS, Valkey, server_program
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey

ROOT = Path(__file__).parent.parent.parent
SECRET = "a-secret-of-more-than-sixteen"
ID = Secrets.parse(SECRET).first.id


@pytest.fixture
def told(valkey: Valkey, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with the settings of a node whose Redis and registry are there."""
    shutil.copy(migrated_file, tmp_path / "registry.db")
    monkeypatch.setenv("RELAY_REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("RELAY_SECRET", SECRET)
    monkeypatch.setenv("RELAY_SOCKETS", "100")


def test_everything_that_is_wrong_is_said_at_once_and_is_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAY_PORT", "eight")
    monkeypatch.setenv("RELAY_SOKETS", "9")
    assert run(["config", "check"]) == 78
    assert capsys.readouterr().err.splitlines() == [
        "relay: RELAY_SOKETS is no setting of Relay; did you mean RELAY_SOCKETS?",
        "relay: RELAY_REDIS_URL is not set (relay node --help lists every variable)",
        "relay: RELAY_DATABASE_URL is not set (relay node --help lists every variable)",
        "relay: RELAY_PORT: input should be a valid integer, unable to parse string as an integer",
        "relay: RELAY_SECRET is not set (or put it into a file and name that in RELAY_SECRET_FILE)",
    ]


@pytest.mark.usefixtures("told")
def test_a_node_that_may_start_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--connect"]) == 0
    said = capsys.readouterr().out
    for words in (
        "the settings are sound",
        "ok     the registry is at version 0003, in SQLite 3.",
        "ok     Valkey ",
        "ok     maxmemory-policy is noeviction",
        "ok     client-output-buffer-limit pubsub is 33554432 8388608",
        "ok     a process may open ",
        "ok     no cluster has agreed on times yet",
        "ok     no node runs whose RELAY_SECRET could be another",
    ):
        assert words in said


@pytest.mark.usefixtures("told")
def test_a_node_behind_https_that_trusts_no_proxy_is_told_what_that_costs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAY_PUBLIC_URL", "https://relay.example.com")
    assert run(["config", "check"]) == 0
    doubt = "doubt  RELAY_PUBLIC_URL is https:// and RELAY_TRUSTED_PROXIES is not set: all who come through the proxy"
    assert doubt in capsys.readouterr().out
    assert run(["config", "check", "--sweeper"]) == 0
    assert "doubt" not in capsys.readouterr().out
    monkeypatch.setenv("RELAY_TRUSTED_PROXIES", "10.0.0.0/8")
    assert run(["config", "check"]) == 0
    assert "doubt" not in capsys.readouterr().out


@pytest.mark.usefixtures("told")
async def test_what_would_keep_a_node_from_its_promises_is_found(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    redis, keys = connect(valkey.url), Keys("relay")
    try:
        await claim(redis, keys, "an-other-registry")
        await Leases(redis, keys).renew(Lease("boot", "http://n1", 1, marks=Marks("", ("0badcafe",))))
        await ask(redis, "HSET", keys.agreement, "BEAT_SECONDS", "11")
        await ask(redis, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 1048576 0 0")
        monkeypatch.setenv("RELAY_SOCKETS", "100000000")
        code = await _in_a_thread("config", "check", "--connect")
        said = capsys.readouterr()
    finally:
        await ask(redis, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60")
        await redis.aclose()
    assert code == 78
    for words in (
        "RELAY_SOCKETS=100000000 needs 100000200",
        "client-output-buffer-limit pubsub is 1048576 0: Redis would cut nodes that are busy",
        "BEAT_SECONDS is 10 here and 11 in the cluster that is running",
        f"no secret of RELAY_SECRET ({ID}) is one of http://n1 (0badcafe)",
    ):
        assert words in said.err
    assert SECRET not in said.err + said.out


async def _in_a_thread(*words: str) -> int:
    import asyncio

    return await asyncio.to_thread(run, list(words))


@pytest.mark.usefixtures("told")
def test_each_of_several_servers_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Servers that share the keys by configuration, and are no Redis Cluster."""
    [port] = free_ports(1)
    program = str(server_program())
    arguments = [
        program,
        "--port",
        str(port),
        "--save",
        "",
        "--maxmemory-policy",
        "allkeys-lru",
        "--maxmemory",
        "100mb",
    ]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as server:
        try:
            answers(port)
            monkeypatch.setenv("RELAY_REDIS_URL", f"redis+shards://127.0.0.1:{port}")
            assert run(["config", "check", "--connect"]) == 78
        finally:
            server.kill()
    said = capsys.readouterr().err
    assert "WRONG  maxmemory-policy is allkeys-lru" in said
    assert "cluster-node-timeout" not in said


def answers(port: int) -> None:
    """Wait until a server does."""
    give_up = time.monotonic() + START_SECONDS
    with BlockingRedis(port=port) as client:
        while True:
            with contextlib.suppress(RedisError):
                client.ping()
                return
            assert time.monotonic() < give_up, "Valkey does not answer"
            time.sleep(0.02)


def test_a_redis_and_a_registry_that_are_not_there_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAY_REDIS_URL", f"unix://{tmp_path / 'none'}")
    monkeypatch.setenv("RELAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'none.db'}")
    assert run(["config", "check", "--connect", "--sweeper"]) == 78
    said = capsys.readouterr().err
    assert f"AWAY   the relay's memory (Redis) does not answer (unix://{tmp_path / 'none'})" in said
    assert f"WRONG  there is no registry at {tmp_path / 'none.db'} yet: relay admin bootstrap makes it" in said
    assert list(tmp_path.iterdir()) == [], "a look makes nothing"


@pytest.mark.usefixtures("told")
def test_what_merely_does_not_answer_is_no_mistake_in_the_settings(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever deploys by script may try this again, and not that."""
    monkeypatch.setenv("RELAY_REDIS_URL", f"unix://:hunter2@{tmp_path / 'none'}")
    assert run(["config", "check", "--connect"]) == 75
    said = capsys.readouterr()
    assert "AWAY   the relay's memory (Redis) does not answer (unix://:***@" in said.err
    assert "ok     the registry is at version " in said.out
    assert "hunter2" not in said.err + said.out

    [port] = free_ports(1)
    monkeypatch.setenv("RELAY_REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_DATABASE_URL", f"postgresql+asyncpg://relay:hunter2@127.0.0.1:{port}/relay")
    assert run(["config", "check", "--connect"]) == 75
    said = capsys.readouterr()
    assert f"AWAY   the registry does not answer (postgresql+asyncpg://relay:***@127.0.0.1:{port}/relay)" in said.err
    assert "ok     Valkey " in said.out
    assert "hunter2" not in said.err + said.out


@pytest.mark.usefixtures("told")
def test_every_variable_is_shown_with_its_source_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "redis").write_text("redis://relay:hunter2@localhost:6379/1")
    monkeypatch.delenv("RELAY_REDIS_URL")
    monkeypatch.setenv("RELAY_REDIS_URL_FILE", str(tmp_path / "redis"))
    assert run(["config", "env", "--json"]) == 0
    said = capsys.readouterr().out
    shown = {each["variable"]: (each["value"], each["from"]) for each in json.loads(said)["settings"]}
    assert shown["RELAY_REDIS_URL"] == ("redis://relay:***@localhost:6379/1", f"file {tmp_path / 'redis'}")
    assert shown["RELAY_SECRET"] == (f"fingerprints {ID}", "environment")
    assert shown["RELAY_PORT"] == ("8000", "default")
    assert shown["RELAY_PUBLIC_URL"] == ("http://127.0.0.1:8000", "default")
    assert "hunter2" not in said
    assert SECRET not in said


def test_the_example_is_a_file_that_is_sound_once_it_is_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "env", "--example"]) == 0
    example = capsys.readouterr().out
    named = re.findall(r"(?m)^#?(RELAY_[A-Z_]+)=", example)
    assert named == [variable.name for variable in variables()]
    given = dict(re.findall(r"(?m)^(RELAY_[A-Z_]+)=(.*)$", example))
    assert given == {"RELAY_REDIS_URL": "", "RELAY_DATABASE_URL": ""}, "only what nobody can guess is to be filled in"
    defaults = dict(re.findall(r"(?m)^#(RELAY_[A-Z_]+)=(.+)$", example))
    filled = {
        "RELAY_REDIS_URL": "redis://localhost",
        "RELAY_DATABASE_URL": "sqlite+aiosqlite:///x",
        "RELAY_SECRET": SECRET,
    }
    assert read(defaults | filled) == read(filled), "a default that is uncommented changes nothing"


def test_the_table_of_settings_is_up_to_date() -> None:
    assert (ROOT / "deploy/SETTINGS.md").read_text() == page(), "run `relay config doc >deploy/SETTINGS.md`"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("redis://relay:hunter2@h:1/0", "redis://relay:***@h:1/0"),
        ("redis://relay:hun/ter2@h:1/0", "redis://:***@h:1/0"),
        ("redis://relay:hun?ter2@h:1/0", "redis://relay:***@h:1/0"),
        ("redis://relay:hun:ter2@h", "redis://:***@h"),
        ("redis://relay:hun@ter2@h", "redis://relay:***@h"),
        ("redis+sentinel://u:hunter2@a:1,b:2/main", "redis+sentinel://u:***@a:1,b:2/main"),
        ("postgresql+asyncpg://u@/x?host=/run&password=hunter2", "postgresql+asyncpg://:***@/x?host=/run&password=***"),
        ("postgresql+asyncpg:///x?password=hun@ter2", "postgresql+asyncpg://:***@ter2"),
        ("hunter2", "***"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_password(url: str, shown: str) -> None:
    assert masked(url) == shown
