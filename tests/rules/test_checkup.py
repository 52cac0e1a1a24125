"""Says what surroundings a cluster is fine in, which are doubtful, and which are wrong."""

from __future__ import annotations

import pytest

from relay.rules import checkup
from relay.rules.checkup import Finding

DEFAULT_BUFFERS = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


@pytest.mark.parametrize(
    ("server", "kind", "words"),
    [
        ({"redis_version": "7.0.15"}, "good", "Redis 7.0.15"),
        ({"redis_version": "6.2.14"}, "wrong", "Redis is 6.2.14; 7.0 or newer is needed"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0"}, "good", "Valkey 9.1.0"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, "wrong", "Valkey is 7.1.9; 7.2 or newer is needed"),
        ({}, "doubt", "does not say its version"),
    ],
)
def test_a_redis_that_is_too_old_is_wrong(server: dict[str, str], kind: str, words: str) -> None:
    found = checkup.redis_version(server)
    assert found.kind == kind
    assert words in found.says


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        ({"maxmemory-policy": "noeviction", "client-output-buffer-limit": DEFAULT_BUFFERS}, ["good", "good"]),
        ({"maxmemory-policy": "allkeys-lru", "client-output-buffer-limit": "pubsub 0 0 0"}, ["doubt", "good"]),
        ({"maxmemory-policy": "allkeys-lru", "maxmemory": "1"}, ["wrong", "doubt"]),
        ({"client-output-buffer-limit": "pubsub 33554432 1048576 60"}, ["doubt", "wrong"]),
        ({"client-output-buffer-limit": "pubsub"}, ["doubt", "doubt"]),
    ],
)
def test_a_redis_that_would_forget_machines_or_cut_nodes_is_wrong(config: dict[str, str], kinds: list[str]) -> None:
    assert [found.kind for found in checkup.redis_settings(config, cluster=False)] == kinds


@pytest.mark.parametrize(("text", "kind"), [("5000", "good"), ("15000", "wrong"), (None, "doubt")])
def test_a_redis_cluster_must_replace_a_primary_before_machines_are_missed(text: str | None, kind: str) -> None:
    config = {} if text is None else {"cluster-node-timeout": text}
    assert checkup.redis_settings(config, cluster=True)[-1].kind == kind


def test_clocks_may_differ_by_a_little() -> None:
    assert checkup.clock(-1_900).kind == "good"
    assert checkup.clock(-3_000) == Finding(
        "wrong", "the clock of this host is -3.0 s from that of Redis: times shown are wrong"
    )


def test_sockets_need_open_files() -> None:
    assert checkup.open_files(1_024, 20_000).says == (
        "a process may open 1024 files here, and RELAY_SOCKETS=20000 needs 20200: "
        "raise it (ulimit -n, LimitNOFILE=) or lower RELAY_SOCKETS"
    )
    assert checkup.open_files(20_200, 20_000).kind == "good"
    assert checkup.open_files(None, 20_000).says == "a process may open any number of files, 20200 are needed"


def test_times_that_a_running_cluster_agreed_on_must_be_kept() -> None:
    assert checkup.timing({"A": 1.0}, {"A": 2.0}).says == "A is 1 here and 2 in the cluster that is running"
    assert checkup.timing({"A": 1.0, "NEW": 1.0}, {"A": 1.0}) == Finding(
        "good", "timing constants agree with the cluster's"
    )
    assert checkup.timing({"A": 1.0}, {}).says == "no cluster has agreed on times yet"


def test_a_prefix_belongs_to_one_registry() -> None:
    assert checkup.registry_owner("relay", "here", None).says == "the prefix 'relay' is nobody's"
    assert checkup.registry_owner("relay", "here", "here").says == "the prefix 'relay' is this registry's"
    assert checkup.registry_owner("relay", "here", "there").kind == "wrong"


def test_secrets_go_together_if_each_can_verify_what_the_other_signs() -> None:
    there = {"old": ("a",), "both": ("a", "b"), "new": ("b",), "silent": ()}
    assert [found.kind for found in checkup.secrets(("b", "a"), there)] == ["doubt"]
    assert [found.kind for found in checkup.secrets(("b",), there)] == ["wrong", "doubt"]
    assert checkup.secrets((), there) == [Finding("good", "RELAY_SECRET goes with that of all 4 nodes")]
    assert checkup.secrets(("a",), {"n": ("a",)})[0].says == "RELAY_SECRET goes with that of the node that runs"
    assert checkup.secrets(("a",), {})[0].says == "no node runs whose RELAY_SECRET could be another"
    assert checkup.secrets(("c",), {"n": ("d",)})[0].says == "no secret of RELAY_SECRET (c) is one of n (d)"


@pytest.mark.parametrize(
    ("https", "trusted", "kind"), [(True, False, "doubt"), (True, True, "good"), (False, False, "good")]
)
def test_clients_behind_a_proxy_that_is_not_trusted_are_a_doubt(https: bool, trusted: bool, kind: str) -> None:
    assert checkup.proxies(https=https, trusted=trusted).kind == kind
