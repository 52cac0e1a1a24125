"""Plants secrets wherever a support bundle looks, and finds everything in it but those."""

from __future__ import annotations

import asyncio
import http.server
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.cli import run
from relay.rules import tokens
from relay.rules.tokens import Secrets
from relay.store import Keys, Lease, Leases, Marks, connect
from relay.store.connection import ask
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey

SECRETS = ("the-first-secret-of-this-cluster", "the-other-secret-of-this-cluster")
PASSWORD = "correct-horse-battery"
TOKEN = tokens.make("pat", bytes(range(32)))
MACHINE_TOKEN = tokens.sign_machine(
    Secrets.parse(SECRETS[0]),
    "8f23c1d2-0000-4000-8000-000000000000",
    "8f23c1d2-0000-4000-8000-000000000001",
    1,
)
PLANTED = (*SECRETS, PASSWORD, TOKEN.removeprefix("rly_pat_"), MACHINE_TOKEN.removeprefix("rly_mach_"))
LOG = f"""{{"event": "an agent joined", "authorization": "Bearer {MACHINE_TOKEN}"}}
connecting to redis://relay:{PASSWORD}@127.0.0.1:6379/0 with RELAY_SECRET={",".join(SECRETS)}
GET /#sign-in={TOKEN} cookie: relay={TOKEN}
\x1b[31mred\x1b[0m and the machine mac-studio
{"x" * 3_990}{SECRETS[0]}
"""


@pytest.fixture
def metrics() -> Iterator[str]:
    """Where a node serves its metrics."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"relay_agents 12\n")

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        serving.join()


@pytest.fixture
def folder(valkey: Valkey, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cluster whose Redis wants a password, with a log, and its operator's variables."""
    shutil.copy(migrated_file, tmp_path / "registry.db")
    (tmp_path / "node.log").write_text(LOG)
    monkeypatch.setenv("RELAY_REDIS_URL", valkey.url.replace("unix://", f"unix://:{PASSWORD}@"))
    monkeypatch.setenv("RELAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("RELAY_SECRET", ",".join(SECRETS))
    monkeypatch.setenv("RELAY_TOKEN", TOKEN)

    async def prepare(password: str) -> None:
        redis = connect(valkey.url if password else f"unix://:{PASSWORD}@{valkey.socket}")
        await ask(redis, "CONFIG", "SET", "requirepass", password)
        await redis.aclose()

    async def join() -> None:
        redis = connect(f"unix://:{PASSWORD}@{valkey.socket}")
        lease = Lease("boot", "http://n1.internal:8000", 1, agents=3, marks=Marks("r", Secrets.parse(SECRETS[0]).ids))
        await Leases(redis, Keys("relay")).renew(lease)
        await redis.aclose()

    asyncio.run(prepare(PASSWORD))
    asyncio.run(join())
    try:
        yield tmp_path
    finally:
        asyncio.run(prepare(""))


def unpacked(file: Path) -> dict[str, str]:
    """Every file of a bundle by its name."""
    with tarfile.open(file) as archive:
        found = {}
        for entry in archive.getmembers():
            content = archive.extractfile(entry)
            assert content is not None
            found[entry.name.removeprefix("relay-support/")] = content.read().decode()
        return found


def test_a_bundle_has_all_that_is_known_and_none_of_the_secrets(
    folder: Path, metrics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "bundle.tar.gz"
    words = ("support", "bundle", str(file), "--log", str(folder / "node.log"), "--metrics", metrics)
    assert run([*words, "--log", str(folder / "none.log")]) == 0
    parts = unpacked(file)
    whole = "".join(parts.values()) + "".join(parts) + capsys.readouterr().out
    for secret in PLANTED:
        assert secret not in whole
        assert secret[: len(secret) // 2] not in whole, "half a secret is no better"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(parts["versions.json"])["packages"]["starlette"]
    assert json.loads(parts["nodes.json"])[0]["agents"] == 3
    assert json.loads(parts["registry.json"])["rows"]["machines"] == 0
    assert json.loads(parts["registry.json"])["times"] == {"revision": 0, "chosen": {}}
    assert json.loads(parts["redis.json"])[0]["clients"]["connected_clients"]
    assert {each["kind"] for each in json.loads(parts["check.json"])} >= {"good"}
    assert any(each["variable"] == "RELAY_PORT" for each in json.loads(parts["settings.json"]))
    assert parts["metrics/1.txt"] == "relay_agents 12\n"
    assert "\\x1b[31mred\\x1b[0m and the machine mac-studio" in parts["logs/1-node.log"]
    assert parts["logs/2-none.log"] == "cannot be read: No such file or directory\n"


def test_of_a_cluster_that_is_down_a_bundle_says_what_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_REDIS_URL", f"unix://{tmp_path / 'none'}")
    monkeypatch.setenv("RELAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'none.db'}")
    assert run(["support", "bundle", str(tmp_path / "bundle.tar.gz")]) == 0
    parts = unpacked(tmp_path / "bundle.tar.gz")
    assert json.loads(parts["redis.json"]) == {"error": "the relay's memory (Redis) does not answer"}
    assert "there is no registry at" in json.loads(parts["registry.json"])["error"]


def test_of_settings_that_are_wrong_a_bundle_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SOKETS", "1")
    assert run(["support", "bundle", str(tmp_path / "bundle.tar.gz")]) == 0
    wrong = json.loads(unpacked(tmp_path / "bundle.tar.gz")["settings.json"])["wrong"]
    assert wrong[0] == "RELAY_SOKETS is no setting of Relay; did you mean RELAY_SOCKETS?"
