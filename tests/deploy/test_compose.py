"""Shows that the compose file is one, that it names what there is, and that its secrets fit each other."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from relay.cli import run
from relay.environ import load
from relay.uses import SWEEPER
from tests.deploy.grace import IN_THE_IMAGE, VARIABLES, enough
from tests.deploy.proxies import program
from tests.support.cluster import LOOK_SECONDS, START_SECONDS
from tests.support.ports import free_ports
from tests.support.valkey import server_program

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
MAKE_SECRETS = DEPLOY / "compose" / "make-secrets"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, its anchors resolved."""
    return dict(yaml.safe_load(COMPOSE.read_text()))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the secrets of one cluster."""
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    subprocess.run([MAKE_SECRETS, folder], check=True, capture_output=True)
    return folder


def test_it_follows_the_schema_of_compose_files() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nodes_are_told_only_what_they_know(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        told = {key for key in service.get("environment", {}) if key.startswith("RELAY_")}
        assert told <= VARIABLES, name


def test_a_node_takes_its_settings_and_secrets(compose: dict[str, Any], secrets: Path) -> None:
    told = compose["services"]["node-1"]["environment"]
    usual = {name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value) for name, value in told.items()}
    here = {name: value.replace("/run/secrets", str(secrets)) for name, value in usual.items()}
    settings = load(environ=here)
    password = (secrets / "valkey_password").read_text()
    assert settings.redis_url.startswith(f"redis+sentinel://:{password}@sentinel-1:26379,")
    assert settings.allowed_hosts == ("localhost:8080",)


def test_bootstrap_makes_a_cluster_of_what_it_is_told_and_the_sweeper_needs_no_more(
    compose: dict[str, Any], secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes wait for it to end well, so that a variable which it lacks keeps the whole cluster from starting."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)
    service = compose["services"]["bootstrap"]
    for name, value in (IN_THE_IMAGE | service["environment"]).items():
        usual = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value).replace("/run/secrets", str(secrets))
        monkeypatch.setenv(name, usual)
    (tmp_path / "database_url").write_text(f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("RELAY_DATABASE_URL_FILE", str(tmp_path / "database_url"))
    assert run(service["command"]) == 0

    told = IN_THE_IMAGE | compose["services"]["sweeper"]["environment"]
    here = {name: value.replace("/run/secrets", str(secrets)) for name, value in told.items()}
    assert load(SWEEPER, environ=here).metrics_port == 9464


def test_a_service_has_the_secrets_that_it_needs_and_no_other(compose: dict[str, Any]) -> None:
    needed = {
        "node-1": {"relay_secret", "database_url", "redis_url"},
        "sweeper": {"database_url", "redis_url"},
        "bootstrap": {"relay_secret", "database_url"},
    }
    needed |= dict.fromkeys(("node-2", "node-3"), needed["node-1"])
    for name, secrets in needed.items():
        service = compose["services"][name]
        assert set(service["secrets"]) == secrets, name
        told = service["environment"]
        assert {told[each] for each in told if each.endswith("_FILE")} == {f"/run/secrets/{each}" for each in secrets}


def test_every_file_that_it_names_is_there(compose: dict[str, Any], secrets: Path) -> None:
    mounted = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }
    assert len(mounted) > 5
    for path in mounted:
        assert (DEPLOY / path).is_file(), path
    made = {path.name for path in secrets.iterdir()}
    for name, secret in compose["secrets"].items():
        assert secret["file"] == f"./compose/secrets/{name}"
        assert name in made
    build = compose["services"]["node-1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_whatever_a_service_needs_is_defined(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        assert set(service.get("depends_on", [])) <= set(compose["services"]), name
        named = {volume.partition(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert named <= set(compose["volumes"]), name


def test_a_node_has_time_to_drain_before_it_is_killed(compose: dict[str, Any]) -> None:
    for name in ("node-1", "node-2", "node-3"):
        service = compose["services"][name]
        grace = float(service["stop_grace_period"].removesuffix("s"))
        assert enough(grace, float(service["environment"]["RELAY_DRAIN_SECONDS"])), name


def test_prometheus_looks_where_nodes_and_sweepers_serve_their_metrics(compose: dict[str, Any]) -> None:
    """Under names that alerts and dashboard know."""
    port = re.search(r"RELAY_METRICS_PORT=(\d+)", (DEPLOY / "Dockerfile").read_text())
    assert port is not None
    nodes, sweepers = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    assert (nodes["job_name"], sweepers["job_name"]) == ("relay-node", "relay-sweeper")
    assert nodes["static_configs"][0]["targets"] == [f"node-{number}:{port[1]}" for number in (1, 2, 3)]
    assert sweepers["dns_sd_configs"] == [{"names": ["sweeper"], "type": "A", "port": int(port[1])}]
    assert f":{port[1]}/livez" in str(compose["services"]["sweeper"]["healthcheck"])
    for name in ("node-1", "sweeper", "prometheus"):
        assert "metrics" in compose["services"][name]["networks"]


def test_nobody_but_the_balancer_is_believed_about_addresses(compose: dict[str, Any]) -> None:
    subnet = compose["networks"]["front"]["ipam"]["config"][0]["subnet"]
    inside = {name for name, service in compose["services"].items() if "front" in service.get("networks", [])}
    assert compose["services"]["node-1"]["environment"]["RELAY_TRUSTED_PROXIES"] == subnet
    assert inside == {"node-1", "node-2", "node-3", "balancer"}


def test_programs_of_ours_write_nowhere_and_may_nothing(compose: dict[str, Any]) -> None:
    for name in ("node-1", "sweeper", "bootstrap"):
        service = compose["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_its_balancer_treats_nodes_as_the_one_for_production_does() -> None:
    def rules(path: Path) -> list[str]:
        backend = path.read_text().partition("\nbackend nodes\n")[2]
        lines = [line.strip() for line in backend.splitlines() if not line.strip().startswith(("#", "server "))]
        return [line.removesuffix(" resolvers docker init-addr last,libc,none") for line in lines]

    own = DEPLOY / "compose" / "haproxy.cfg"
    assert rules(own) == rules(DEPLOY / "proxies" / "haproxy.cfg")
    done = subprocess.run([program("haproxy"), "-c", "-f", str(own)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_secrets_are_made_once_and_kept_from_others(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    subprocess.run([MAKE_SECRETS, secrets], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    alone = ("relay_secret", "database_password", "grafana_password", "valkey_password")
    assert len({before[name] for name in alone}) == len(alone)
    assert all(re.fullmatch(r"[0-9a-f]{48}", before[name]) for name in alone)
    assert before["database_password"] in before["database_url"]


@contextlib.contextmanager
def valkey(folder: Path, text: str, *arguments: str) -> Iterator[None]:
    """A server with this configuration, until the block ends."""
    folder.mkdir()
    file = folder / "server.conf"
    file.write_text(text.replace("dir /data", f"dir {folder}"))
    process = subprocess.Popen([server_program(), file, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_valkey_its_replica_and_a_sentinel_let_each_other_in(secrets: Path, tmp_path: Path) -> None:
    first, second, third = free_ports(3)
    server, sentinel = (secrets / "valkey_conf").read_text(), (secrets / "sentinel_conf").read_text()
    sentinel = sentinel.replace("valkey-1 6379 2", f"127.0.0.1 {first} 1")
    here = "\nrepl-diskless-sync-delay 0\nbind 127.0.0.1\nport "
    password = (secrets / "valkey_password").read_text()
    with (
        valkey(tmp_path / "1", f"{server}{here}{first}\n"),
        valkey(tmp_path / "2", f"{server}{here}{second}\nreplicaof 127.0.0.1 {first}\n"),
        Redis(port=second, password=password) as replica,
    ):
        until(lambda: replica.info("replication")["master_link_status"] == "up")
        with (
            valkey(tmp_path / "3", f"{sentinel}\nbind 127.0.0.1\nport {third}\n", "--sentinel"),
            Redis(port=third, decode_responses=True) as asked,
        ):
            until(lambda: follows(asked, second))


def follows(sentinel: Redis, port: int) -> bool:
    """Whether a sentinel knows of a replica there, which has its primary."""
    found: list[dict[str, Any]] = sentinel.sentinel_slaves("relay")
    return [(each["port"], each["master-link-status"]) for each in found] == [(port, "ok")]


def until(holds: Callable[[], bool]) -> None:
    """Wait for it; servers that do not answer yet do not hold anything."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(RedisError):
            if holds():
                return
        assert time.monotonic() < give_up
        time.sleep(LOOK_SECONDS)
