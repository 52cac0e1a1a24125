"""Plays an operator who backs a cluster up, loses its registry, and restores it while Redis knows better."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from relay.cli import run
from relay.registry import Registry
from relay.store import Keys, Lease, Leases, Revocations, connect
from relay.store.reports import Reports, SweeperReport
from tests.registry.acme import Acme
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey


class Operator:
    """Somebody at the command line of a cluster on SQLite, with the variables of its nodes."""

    def __init__(self, folder: Path, valkey: Valkey, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._valkey = valkey
        self._patch = patch
        patch.setenv("RELAY_REDIS_URL", valkey.url)
        self.on("registry.db")

    def on(self, name: str) -> str:
        """From now on the registry is in this file; its URL."""
        url = f"sqlite+aiosqlite:///{self.folder / name}"
        self._patch.setenv("RELAY_DATABASE_URL", url)
        return url

    def says(self, *words: str) -> int:
        """A command under `relay admin`; its exit code."""
        return run(["admin", *words])

    def machine(self, name: str) -> tuple[str, str]:
        """A new machine of the registry: its workspace and id."""

        async def connect_it() -> tuple[str, str]:
            registry = await Registry.open(f"sqlite+aiosqlite:///{self.folder / 'registry.db'}")
            acme = await Acme.found(registry)
            machine = await acme.connect(acme.jane, name)
            await registry.close()
            return acme.id, machine.id

        return asyncio.run(connect_it())

    def node(self, runs: bool) -> None:
        """A node holds a lease, or does not any more."""

        async def change() -> None:
            redis = connect(self._valkey.url)
            leases = Leases(redis, Keys("relay"))
            await (leases.renew(Lease("boot", "http://n1", 1)) if runs else leases.release("boot"))
            await redis.aclose()

        asyncio.run(change())

    def sweeper(self) -> None:
        """A sweeper says that it runs."""

        async def tell() -> None:
            redis = connect(self._valkey.url)
            report = SweeperReport(id="s1", place="host:7", version="1", started_ms=1)
            await Reports(redis, Keys("relay")).tell(report)
            await redis.aclose()

        asyncio.run(tell())

    def revoked_in_redis(self, workspace: str, machine: str, upto: int) -> None:
        """The mirror knows of a revocation, and of all changes to this one."""

        async def add() -> None:
            redis = connect(self._valkey.url)
            keys = Keys("relay")
            await Revocations(redis, keys).load(keys.shard(workspace), [machine], upto)
            await redis.aclose()

        asyncio.run(add())

    def latest(self, name: str) -> int:
        """The number of the last change in the registry in this file."""

        async def asked() -> int:
            registry = await Registry.open(f"sqlite+aiosqlite:///{self.folder / name}")
            number = await registry.changes.latest()
            await registry.close()
            return number

        return asyncio.run(asked())

    def holds(self, name: str, workspace: str) -> list[str]:
        """The names of the machines in the registry in this file."""

        async def listed() -> list[str]:
            registry = await Registry.open(f"sqlite+aiosqlite:///{self.folder / name}")
            machines = await registry.machines.list([workspace])
            await registry.close()
            return [machine.name for machine in machines]

        return asyncio.run(listed())


@pytest.fixture
def operator(valkey: Valkey, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Before an empty registry."""
    shutil.copy(migrated_file, tmp_path / "registry.db")
    return Operator(tmp_path, valkey, monkeypatch)


def test_a_lost_registry_comes_back_without_the_machine_that_redis_knows_to_be_revoked(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, machine = operator.machine("stolen")
    file = str(operator.folder / "backup")
    assert operator.says("backup", file) == 0
    assert "among them 1 machines and 1 people" in capsys.readouterr().out
    operator.revoked_in_redis(workspace, machine, upto=9_000_000)
    operator.on("new.db")
    assert operator.says("restore", file) == 0
    assert "revoked since, and again: 1 machines" in capsys.readouterr().out
    assert operator.holds("new.db", workspace) == []
    assert operator.latest("new.db") > 9_000_000, "a number that Redis has heard of before is not given out again"


def test_without_redis_a_restore_says_what_it_would_not_know(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, _ = operator.machine("mac-studio")
    file = str(operator.folder / "backup")
    assert operator.says("backup", file) == 0
    operator.on("new.db")
    monkeypatch.setenv("RELAY_REDIS_URL", f"unix://{operator.folder / 'none'}")
    assert operator.says("restore", file) == 75
    assert capsys.readouterr().err == (
        "relay: Redis does not answer, which knows the machines that were revoked since the backup; "
        "--without-redis restores all the same\n"
    )
    assert not (operator.folder / "new.db").exists(), "nothing was begun"
    assert operator.says("restore", file, "--without-redis") == 0
    assert operator.holds("new.db", workspace) == ["mac-studio"]


def test_nothing_that_running_nodes_stand_on_is_taken_away(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, _ = operator.machine("mac-studio")
    file, target = str(operator.folder / "backup"), f"sqlite+aiosqlite:///{operator.folder / 'moved.db'}"
    assert operator.says("backup", file) == 0
    operator.node(runs=True)
    capsys.readouterr()
    assert operator.says("restore", file, "--replace") == 1
    assert operator.says("migrate-to", target) == 1
    assert capsys.readouterr().err.splitlines() == [
        "relay: nodes run: http://n1 (boot); replacing its registry is for a cluster that stands still. "
        "--force does it all the same",
        "relay: nodes run: http://n1 (boot); moving its registry is for a cluster that stands still. "
        "--force does it all the same",
    ]
    assert operator.says("restore", file, "--replace", "--force") == 0
    operator.node(runs=False)
    assert operator.says("migrate-to", target) == 0
    assert operator.holds("moved.db", workspace) == ["mac-studio"]
    capsys.readouterr()
    assert operator.says("backup", file + "2") == 78
    assert f"this registry was moved to sqlite+aiosqlite:///{operator.folder}/moved.db" in capsys.readouterr().err


def test_a_target_may_stand_in_a_file_and_is_named_once(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    operator.machine("mac-studio")
    place = operator.folder / "url"
    place.write_text(f"sqlite+aiosqlite:///{operator.folder / 'moved.db'}\n")
    assert operator.says("migrate-to") == 64
    assert operator.says("migrate-to", "x", "--url-file", str(place)) == 64
    assert operator.says("migrate-to", "--url-file", str(place)) == 0
    assert "machines: 1 rows" in capsys.readouterr().out


def test_a_registry_is_not_taken_from_a_sweeper_either(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    operator.machine("mac-studio")
    operator.sweeper()
    target = f"sqlite+aiosqlite:///{operator.folder / 'moved.db'}"
    assert operator.says("migrate-to", target) == 1
    assert "sweepers run, or did within the last 15 s: host:7; moving its registry" in capsys.readouterr().err
    assert operator.says("migrate-to", target, "--force") == 0


@pytest.mark.parametrize("secret", ["relay:hush@db/relay", "db/relay?password=hush", "u:hu/sh@db/relay?ssl=true"])
def test_a_password_does_not_stand_among_the_arguments(
    operator: Operator, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    assert operator.says("migrate-to", f"postgresql+asyncpg://{secret}") == 64
    said = capsys.readouterr().err
    assert "name that with --url-file" in said
    assert "hush" not in said


def test_pruning_says_what_it_would_do_and_what_it_did(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    operator.machine("mac-studio")
    assert operator.says("prune", "--dry-run", "--audit-days", "1") == 0
    assert operator.says("prune") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == ["0 credentials would go", "0 links would go", "0 machines would go"]
    assert said[3].endswith("audit entries would go")
    assert said[4:] == ["0 credentials are gone", "0 links are gone", "0 machines are gone"]
