"""Tests of the settings: defaults that follow from each other, and one clear line for every mistake."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from relay.environ import load, read, variables
from relay.errors import Misconfigured
from relay.settings import Settings
from relay.uses import BOTH, FOUNDER, MEMORY, REGISTRY, ROTATION, SWEEPER

SECRET = "s" * 32
ENOUGH = {
    "RELAY_REDIS_URL": "redis://localhost",
    "RELAY_DATABASE_URL": "sqlite+aiosqlite:////tmp/relay.db",
    "RELAY_SECRET": SECRET,
}


def loaded(**more: str) -> Settings:
    return load(environ=ENOUGH | {f"RELAY_{name.upper()}": value for name, value in more.items()})


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(environ=environ)
    assert "\n" not in caught.value.message
    assert caught.value.exit == 78
    return caught.value.message


def test_urls_origins_and_hosts_follow_from_host_and_port() -> None:
    settings = loaded(host="0.0.0.0", port="8443")
    assert settings.public_url == settings.advertise_url == "http://127.0.0.1:8443"
    assert settings.allowed_origins == ("http://127.0.0.1:8443",)
    assert settings.allowed_hosts == ("127.0.0.1:8443",)
    assert not settings.secure


def test_behind_a_balancer_origin_and_host_are_the_public_ones() -> None:
    settings = loaded(public_url="https://Relay.example/", advertise_url="https://n1.relay.example")
    assert settings.public_url == "https://relay.example"
    assert settings.allowed_origins == ("https://relay.example", "https://n1.relay.example")
    assert settings.allowed_hosts == ("relay.example", "n1.relay.example")
    assert settings.secure


def test_lists_are_comma_separated() -> None:
    settings = loaded(trusted_proxies="10.0.0.0/8, ::1 ", secret=f"{SECRET}, {'t' * 32}")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.secret == f"{SECRET},{'t' * 32}"


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert loaded(host="::").public_url == "http://[::1]:8000"


@pytest.mark.parametrize("name", ["RELAY_REDIS_URL", "RELAY_DATABASE_URL", "RELAY_SECRET"])
def test_a_secret_may_stand_in_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{ENOUGH[name]}\n")
    environ = {key: value for key, value in ENOUGH.items() if key != name} | {f"{name}_FILE": str(file)}
    assert load(environ=environ) == load(environ=ENOUGH)


def test_a_secret_twice_is_refused(tmp_path: Path) -> None:
    assert refused(ENOUGH | {"RELAY_SECRET_FILE": str(tmp_path)}) == (
        "RELAY_SECRET and RELAY_SECRET_FILE are both set; keep one"
    )


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    environ = ENOUGH | {"RELAY_SECRET": "", "RELAY_SECRET_FILE": str(tmp_path / "none")}
    assert refused(environ) == f"RELAY_SECRET_FILE: cannot read {tmp_path}/none: No such file or directory"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REDIS_URL", "", "RELAY_REDIS_URL is not set"),
        ("SECRET", "", "RELAY_SECRET is not set"),
        ("REDIS_URL", "memcached://h", "RELAY_REDIS_URL: expected one of redis://"),
        ("DATABASE_URL", "mysql://h/x", "RELAY_DATABASE_URL: expected one of sqlite+aiosqlite://"),
        ("SECRET", "short", "RELAY_SECRET: each secret needs at least"),
        ("PORT", "eight", "RELAY_PORT: input should be a valid integer"),
        ("PORT", "tcp://10.0.0.1:8000", "RELAY_PORT: Kubernetes set this for a Service; set enableServiceLinks: false"),
        ("PORT", "65536", "RELAY_PORT: input should be less than or equal to 65535"),
        ("PUBLIC_URL", "relay.example", "RELAY_PUBLIC_URL: expected http://HOST"),
        ("PUBLIC_URL", "https://relay.example/x", "RELAY_PUBLIC_URL: expected scheme, host and port only"),
        ("ALLOWED_ORIGINS", "*", "RELAY_ALLOWED_ORIGINS: expected http://HOST"),
        ("TRUSTED_PROXIES", "balancer", "RELAY_TRUSTED_PROXIES: 'balancer' does not appear"),
        ("REDIS_PREFIX", "a b", "RELAY_REDIS_PREFIX: string should match"),
        ("LOG_LEVEL", "loud", "RELAY_LOG_LEVEL: input should be 'debug'"),
        ("REDIS_URL", "redis://elsewhere", "RELAY_DATABASE_URL is SQLite, which serves one host"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(name: str, value: str, words: str) -> None:
    assert refused(ENOUGH | {f"RELAY_{name}": value}).startswith(words)


def test_a_refusal_never_shows_a_password() -> None:
    for name in ("RELAY_REDIS_URL", "RELAY_DATABASE_URL", "RELAY_SECRET"):
        assert "hunter2" not in refused(ENOUGH | {name: "x://:hunter2@h"})


def test_settings_print_no_secret() -> None:
    settings = load(environ=ENOUGH | {"RELAY_REDIS_URL": "redis://:hunter2@localhost"})
    assert "hunter2" not in f"{settings!r} {settings}"
    assert SECRET not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    "redis_url",
    ["redis://127.0.0.1:1", "unix:///tmp/x", "rediss://:p@[::1]:6379/0", "redis+sentinel://localhost:1,127.0.0.1:2/m"],
)
def test_sqlite_goes_with_a_redis_on_the_same_host(redis_url: str) -> None:
    assert loaded(redis_url=redis_url).redis_url == redis_url


def test_sqlite_goes_with_a_remote_redis_when_told_so() -> None:
    assert loaded(redis_url="redis://elsewhere", sqlite_with_remote_redis="true").sqlite_with_remote_redis


def test_a_sweeper_that_shares_a_nodes_file_is_refused_only_for_what_it_reads() -> None:
    nodes = ENOUGH | {
        "RELAY_SECRET": "",
        "RELAY_SECRET_FILE": "/only/for/nodes",
        "RELAY_METRICS_PORT": "8000",  # where a node would listen that is told nothing else
        "RELAY_ALLOWED_ORIGINS": "https://relay.example.com",
        "RELAY_TRUSTED_PROXIES": "balancer",
    }
    settings = load(SWEEPER, environ=nodes)
    assert (settings.metrics_port, settings.secret) == (8000, "")
    with pytest.raises(Misconfigured, match="RELAY_METRICS_PORT: input should be a valid integer"):
        load(SWEEPER, environ=nodes | {"RELAY_METRICS_PORT": "many"})
    with pytest.raises(Misconfigured, match="RELAY_DATABASE_URL is SQLite, which serves one host"):
        load(SWEEPER, environ=nodes | {"RELAY_REDIS_URL": "redis://elsewhere"})
    with pytest.raises(Misconfigured, match="RELAY_SOKETS is no setting of Relay; did you mean RELAY_SOCKETS"):
        load(SWEEPER, environ=nodes | {"RELAY_SOKETS": "5"})
    with pytest.raises(Misconfigured, match=r"^RELAY_SECRET_FILE: cannot read /only/for/nodes"):
        load(environ=nodes)


def test_whoever_never_asks_redis_is_not_told_where_it_is() -> None:
    """`relay admin bootstrap` of the compose file and of the chart is not; and a program that asks all the same is
    found, for there is nobody."""
    registry_only = {name: value for name, value in ENOUGH.items() if name != "RELAY_REDIS_URL"}
    settings = load(FOUNDER, environ=registry_only)
    assert settings.database_url == ENOUGH["RELAY_DATABASE_URL"]
    assert settings.redis_url == "unix:///not-used/redis.sock"
    with pytest.raises(Misconfigured, match="RELAY_SECRET is not set"):
        load(FOUNDER, environ=registry_only | {"RELAY_SECRET": ""})
    assert load(REGISTRY, environ=registry_only | {"RELAY_SECRET": ""}).secret == ""


@pytest.mark.parametrize("used", [REGISTRY, MEMORY, BOTH, SWEEPER, FOUNDER, ROTATION])
def test_every_setting_that_a_program_uses_is_one(used: Collection[str]) -> None:
    assert set(used) <= set(Settings.model_fields)


def test_a_stray_variable_never_reaches_settings_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_PORT", "1")
    assert loaded().port == 8000


def test_every_variable_is_listed_with_default_unit_and_meaning() -> None:
    listed = {variable.name: variable for variable in variables()}
    expected = {f"RELAY_{name.upper()}" for name in Settings.model_fields}
    assert expected | {"RELAY_REDIS_URL_FILE", "RELAY_DATABASE_URL_FILE", "RELAY_SECRET_FILE"} == listed.keys()
    assert all(variable.default and variable.unit and variable.meaning for variable in listed.values())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"METRICS_PORT": "8000"},
            "RELAY_PORT and RELAY_METRICS_PORT both take port 8000; metrics need one of their own",
        ),
        (
            {"METRICS_PORT": "7998", "WORKERS": "4"},
            "RELAY_PORT and RELAY_METRICS_PORT both take port 8000; metrics need one of their own",
        ),
        (
            {"ALLOWED_ORIGINS": "https://other.example"},
            "RELAY_ALLOWED_ORIGINS lacks RELAY_PUBLIC_URL, http://127.0.0.1:8000: its page could open no socket",
        ),
        (
            {"ALLOWED_HOSTS": "other.example"},
            "RELAY_ALLOWED_HOSTS lacks the host of RELAY_PUBLIC_URL, http://127.0.0.1:8000: it would be refused",
        ),
        (
            {"PUBLIC_URL": "https://relay.example", "ADVERTISE_URL": "http://10.0.0.1:8000"},
            "RELAY_PUBLIC_URL is https:// and RELAY_ADVERTISE_URL is not: pages and agents never leave TLS; "
            "behind a balancer leave RELAY_ADVERTISE_URL unset",
        ),
        ({"REDIS_URI": "x"}, "RELAY_REDIS_URI is no setting of Relay; did you mean RELAY_REDIS_URL?"),
        ({"SOCKET": "9"}, "RELAY_SOCKET is no setting of Relay; did you mean RELAY_SOCKETS?"),
        ({"ELEPHANT": "1"}, "RELAY_ELEPHANT is no setting of Relay (relay node --help lists every variable)"),
    ],
)
def test_what_does_not_go_together_or_is_nobodys_is_refused_with_a_sentence(
    more: dict[str, str], sentence: str
) -> None:
    assert refused(ENOUGH | {f"RELAY_{name}": value for name, value in more.items()}) == sentence


def test_everything_that_is_wrong_is_found_at_once() -> None:
    environ = {"RELAY_PORT": "x", "RELAY_SOKETS": "1", "RELAY_DATABASE_URL": "mysql://h/x"}
    _, wrong = read(environ)
    assert [line.partition(" ")[0].rstrip(":") for line in wrong] == [
        "RELAY_SOKETS",
        "RELAY_REDIS_URL",
        "RELAY_DATABASE_URL",
        "RELAY_PORT",
        "RELAY_SECRET",
    ]
    assert refused(environ).endswith(" (and 4 more: relay config check lists them)")


def test_variables_of_agents_of_the_command_line_and_of_kubernetes_are_nobodys_mistake() -> None:
    others = {
        "RELAY_URL": "https://relay.example",
        "RELAY_TOKEN": "x",
        "RELAY_CONFIG_DIR": "/x",
        "RELAY_SERVICE_HOST": "10.0.0.1",
        "RELAY_NODE_SERVICE_PORT_HTTP": "80",
        "RELAY_NODE_PORT": "tcp://10.0.0.1:80",
        "RELAY_NODE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert load(environ=ENOUGH | others) == load(environ=ENOUGH)
