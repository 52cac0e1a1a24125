"""Tells how an operator replaces the secret of a cluster, and hears at each step who would be turned away."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from relay.cli import run
from relay.registry import Actor, Registry
from relay.registry.census import Hanging
from relay.rules.tokens import Secrets
from relay.store import Keys, Lease, Leases, Marks, connect
from tests.registry.acme import DAY_MS, Acme, make_hash
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey

OLD = "the-old-secret-of-the-cluster"
NEW = "the-new-secret-of-the-cluster"
OLD_ID = Secrets.parse(OLD).first.id


class Cluster:
    """Nodes as Redis lists them, and the operator who speaks to them."""

    def __init__(self, valkey: Valkey, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._valkey = valkey
        self.url = url
        self._patch = monkeypatch
        monkeypatch.setenv("RELAY_REDIS_URL", valkey.url)
        monkeypatch.setenv("RELAY_DATABASE_URL", url)

    def node(self, name: str, secret: str, **agents: int) -> None:
        """A node runs with this RELAY_SECRET, and has so many agents by the secret of their tokens."""
        ids = Secrets.parse(secret).ids

        async def renew() -> None:
            redis = connect(self._valkey.url)
            lease = Lease(name, f"http://{name}", 1, marks=Marks("", ids), tokens=agents)
            await Leases(redis, Keys("relay")).renew(lease)
            await redis.aclose()

        asyncio.run(renew())

    def says(self, *words: str, secret: str) -> int:
        """The operator commands this with that RELAY_SECRET; the exit code."""
        self._patch.setenv("RELAY_SECRET", secret)
        return run(["admin", *words])


@pytest.fixture
def cluster(valkey: Valkey, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster without nodes, whose registry is empty."""
    shutil.copy(migrated_file, tmp_path / "registry.db")
    return Cluster(valkey, f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}", monkeypatch)


def test_a_secret_is_replaced_in_three_steps(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.node("n1", OLD)
    assert cluster.says("rotate-secret", secret=OLD) == 0
    both = capsys.readouterr().out.strip()
    old, new = both.split(",")
    assert old == OLD
    assert len(new) >= 43

    assert cluster.says("rotate-secret", "--sign", secret=both) == 1
    new_id = Secrets.parse(new).first.id
    assert f"not yet: http://n1 (n1) does not know {new_id} yet" in capsys.readouterr().err
    cluster.node("n1", both)
    assert cluster.says("rotate-secret", "--sign", secret=both) == 0
    turned = capsys.readouterr().out.strip()
    assert turned == f"{new},{OLD}"

    assert cluster.says("rotate-secret", "--drop", secret=turned) == 1
    assert f"http://n1 (n1) does not sign with {new_id} yet" in capsys.readouterr().err
    cluster.node("n1", turned, **{OLD_ID: 2, new_id: 3})
    assert cluster.says("rotate-secret", "--drop", secret=turned) == 1
    assert f"not yet: 2 machines hang on {OLD_ID}" in capsys.readouterr().err
    cluster.node("n1", turned, **{new_id: 5})
    assert cluster.says("rotate-secret", "--drop", secret=turned) == 0
    said = capsys.readouterr()
    assert said.out.strip() == new, "nothing else goes to standard output"
    assert "the rotation is done" in said.err


def test_no_step_is_taken_while_nobody_says_what_it_would_do(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cluster is stopped, Redis was flushed, or this is the prefix of another one."""
    for step in ("--sign", "--drop"):
        assert cluster.says("rotate-secret", step, secret=f"{NEW},{OLD}") == 1
        assert "not yet: no node is there to be asked" in capsys.readouterr().err
        assert cluster.says("rotate-secret", step, "--force", secret=f"{NEW},{OLD}") == 0


def test_machines_that_sleep_keep_the_old_secret(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    async def register() -> None:
        registry = await Registry.open(cluster.url)
        acme = await Acme.found(registry)
        await acme.connect(acme.jane, "asleep")
        await registry.close()

    asyncio.run(register())
    cluster.node("n1", f"{NEW},{OLD}")
    assert cluster.says("rotate-secret", "--drop", secret=f"{NEW},{OLD}") == 1
    assert "not yet: 1 machines are not connected" in capsys.readouterr().err


def test_what_hangs_on_each_secret_is_shown_by_fingerprint(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        registry = await Registry.open(cluster.url)
        acme = await Acme.found(registry)
        acme.now_ms = time.time_ns() // 1_000_000
        await acme.sign_in(acme.owner.id, f"{OLD_ID}:1")
        await registry.keys.create(acme.id, f"{OLD_ID}:2", "fleet", None, acme.as_jane, acme.now_ms)
        ended = await acme.sign_in(acme.owner.id, f"{OLD_ID}:3")
        await registry.credentials.end(ended, acme.owner.id, acme.as_jane, acme.now_ms)
        await registry.links.create_sign_in(
            acme.owner.id, "0badcafe:4", acme.now_ms + DAY_MS, acme.as_jane, acme.now_ms
        )
        for name in "ab":
            await acme.connect(acme.jane, name)
        await registry.close()

    asyncio.run(story())
    cluster.node("n1", OLD, **{OLD_ID: 1})
    assert cluster.says("secret-status", "--json", secret=OLD) == 0
    said = capsys.readouterr().out
    assert OLD not in said
    found = json.loads(said)
    assert found["secrets"] == [
        {"id": OLD_ID, "role": "signs", "keys": 1, "sign-ins": 1, "machines": 1},
        {"id": "0badcafe", "role": "unknown", "links": 1},
    ]
    assert found["nodes"] == {"http://n1 (n1)": [OLD_ID]}
    assert found["unconnectedMachines"] == 1
    assert cluster.says("secret-status", secret=OLD) == 0
    assert "1 machines are not connected" in capsys.readouterr().err


async def test_every_kind_of_hash_is_counted_on_either_database(acme: Acme) -> None:
    await acme.key()
    await acme.sign_in(acme.owner.id, make_hash())
    await acme.registry.credentials.create_token(acme.owner.id, make_hash(), "ci", None, acme.as_jane, acme.now_ms)
    await acme.registry.links.create_invitation(
        acme.id, "member", "Olga", make_hash(), acme.now_ms + DAY_MS, acme.as_jane, acme.now_ms
    )
    found = await acme.registry.census.hanging(acme.now_ms)
    assert found == [Hanging("0badcafe", kind, 1) for kind in ("keys", "links", "sign-ins", "tokens")]
    rows: dict[str, Any] = await acme.registry.census.rows()
    assert (rows["credentials"], rows["links"], rows["workspaces"]) == (3, 1, 1)
    assert isinstance(acme.as_jane, Actor)
