"""Says how a cluster refuses what would take it apart: foreign secrets, foreign registries, and those of newer code."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from relay import PROTOCOL
from relay.errors import Misconfigured
from relay.opening import open_node
from relay.registry import Registry
from relay.rules.tokens import Secrets
from relay.settings import Settings
from relay.store import Keys, Lease, Leases, Marks, enter
from relay.store.belonging import belong, claim, holder
from relay.store.connection import ask
from tests.support.carried import listening, stock
from tests.support.ports import free_ports
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import redis as redis
from tests.support.valkey import valkey as valkey
from workers.process import sweep

OLD, NEW, FOREIGN = ("the-old-secret-of-all", "the-new-secret-of-all", "somebody-elses-secret")
IDS = {value: Secrets.parse(value).first.id for value in (OLD, NEW, FOREIGN)}


@pytest.fixture
def settings(valkey: Valkey, migrated_file: Path, tmp_path: Path) -> dict[str, Any]:
    """What every node of one cluster is given."""
    path = tmp_path / "registry.db"
    shutil.copy(migrated_file, path)
    return {"redis_url": valkey.url, "database_url": f"sqlite+aiosqlite:///{path}", "redis_prefix": "test"}


async def refused(settings: dict[str, Any]) -> str:
    """What a node says that does not start."""
    with pytest.raises(Misconfigured) as caught:
        async with open_node(Settings(**settings)):
            pass
    assert caught.value.exit == 78
    return caught.value.message


async def test_a_node_with_none_of_the_clusters_secrets_does_not_start(settings: dict[str, Any]) -> None:
    first = settings | {"secret": OLD, "advertise_url": "http://n1.internal:8000"}
    async with open_node(Settings(**first)):
        said = await refused(settings | {"secret": f"{FOREIGN},{NEW}"})
    assert said == (
        f"RELAY_SECRET is not the cluster's: this node has {IDS[FOREIGN]}, {IDS[NEW]} and http://n1.internal:8000 has "
        f"{IDS[OLD]}, by their fingerprints, and none is in both; a new secret goes beside the old one on all nodes "
        "first (relay admin rotate-secret)"
    )
    assert not any(secret in said for secret in IDS)


async def test_a_secret_changes_node_by_node_without_anybody_being_refused(settings: dict[str, Any]) -> None:
    for before, after in ((OLD, f"{OLD},{NEW}"), (f"{OLD},{NEW}", f"{NEW},{OLD}"), (f"{NEW},{OLD}", NEW)):
        with capture_logs() as logs:
            async with (
                open_node(Settings(**settings, secret=before)),
                open_node(Settings(**settings, secret=after)),
            ):
                pass
        assert [each["event"] for each in logs if "does not know the secret" in each["event"]] == []


async def test_a_node_that_signs_with_what_others_do_not_know_says_so(settings: dict[str, Any]) -> None:
    async with open_node(Settings(**settings, secret=OLD)):
        with capture_logs() as logs:
            async with open_node(Settings(**settings, secret=f"{NEW},{OLD}")):
                pass
    assert [each["secret"] for each in logs if "does not know the secret that signs here" in each["event"]] == [
        IDS[NEW]
    ]


async def test_a_cluster_that_stands_still_may_be_started_with_another_secret(settings: dict[str, Any]) -> None:
    async with open_node(Settings(**settings, secret=OLD)):
        pass
    async with open_node(Settings(**settings, secret=NEW)):
        pass


async def test_a_node_that_did_not_come_to_listen_is_waited_for_by_nobody(
    settings: dict[str, Any], redis: Redis
) -> None:
    leases = Leases(redis, Keys("test"))
    async with open_node(Settings(**settings, secret=OLD)) as node:
        assert [lease.boot for lease in await leases.live()] == [node.boot]
    assert await leases.live() == []


async def test_of_two_that_start_at_once_with_foreign_secrets_one_starts(redis: Redis, keys: Keys) -> None:
    for _ in range(5):
        leases = Leases(redis, keys)
        mine = [
            Lease(f"boot-{each}", "http://x", each, marks=Marks("r", (each_id,))) for each, each_id in enumerate("ab")
        ]
        outcomes = await asyncio.gather(*(enter(leases, lease) for lease in mine), return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) == 1, outcomes
        assert [lease.boot for lease in await leases.live()] == [
            lease.boot for lease, outcome in zip(mine, outcomes, strict=True) if outcome is None
        ]
        await redis.flushall()


async def test_a_younger_node_that_was_in_before_the_older_ones_first_lease_stays(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.entering.LOOK_SECONDS", 0)
    older, younger = (
        Lease(f"boot-{each}", "http://x", each, marks=Marks("r", (each_id,))) for each, each_id in enumerate("ab")
    )

    class Slow(Leases):
        async def renew(self, lease: Lease) -> bool:
            await enter(Leases(redis, keys), younger)
            return await super().renew(lease)

    with pytest.raises(Misconfigured, match="RELAY_SECRET is not the cluster's"):
        await enter(Slow(redis, keys), older)
    assert [lease.boot for lease in await Leases(redis, keys).live()] == [younger.boot]


async def test_two_clusters_do_not_share_a_redis_under_one_prefix(
    settings: dict[str, Any], migrated_file: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_file, tmp_path / "other.db")
    other = settings | {"database_url": f"sqlite+aiosqlite:///{tmp_path / 'other.db'}", "secret": OLD}
    async with open_node(Settings(**settings, secret=OLD)):
        said = await refused(other)
        here, there = await _id(str(other["database_url"])), await _id(str(settings["database_url"]))
        assert said == (
            f"another cluster uses this Redis under the prefix 'test': its registry is {there[:8]}, and "
            f"RELAY_DATABASE_URL names {here[:8]}; give one of them a RELAY_REDIS_PREFIX of its own "
            "(or, if that registry is gone for good, delete the key test:registry)"
        )
        async with open_node(Settings(**other | {"redis_prefix": "other"})):
            pass


async def _id(url: str) -> str:
    registry = await Registry.open(url)
    try:
        return (await registry.charter(1)).id
    finally:
        await registry.close()


async def test_a_redis_that_was_flushed_learns_whose_it_is_again(redis: Redis, keys: Keys) -> None:
    await belong(redis, keys, "ours")
    await redis.flushall()
    assert await holder(redis, keys) is None
    await Leases(redis, keys).renew(Lease("boot", "http://x", 1, marks=Marks("ours")))
    assert await holder(redis, keys) == "ours"
    with pytest.raises(Misconfigured, match="another cluster uses this Redis"):
        await belong(redis, keys, "theirs")


async def test_of_many_who_claim_a_fresh_redis_at_once_one_has_it(redis: Redis, keys: Keys) -> None:
    found = await asyncio.gather(*(claim(redis, keys, f"registry-{each}") for each in range(20)))
    assert len(set(found)) == 1


async def test_a_node_that_lost_its_place_to_another_cluster_says_so_loudly(redis: Redis, keys: Keys) -> None:
    await claim(redis, keys, "theirs")
    with capture_logs() as logs:
        await Leases(redis, keys).renew(Lease("boot", "http://x", 1, marks=Marks("ours")))
    assert [each["log_level"] for each in logs] == ["error"]
    assert "another cluster uses this Redis" in logs[0]["event"]


async def test_a_node_that_lost_its_place_takes_nobody_until_it_has_it_again(
    settings: dict[str, Any], redis: Redis
) -> None:
    [port] = free_ports(1)
    async with (
        open_node(Settings(**settings, secret=OLD, port=port)) as node,
        listening(stock(node.web()), port) as server,
    ):
        ours = await holder(redis, Keys("test"))
        assert ours is not None
        await redis.set(Keys("test").registry, "theirs")
        await node.membership.renew()
        assert "misconfigured" in node.readiness.reasons()
        assert await knock(server.port) == (4100, "over-capacity"), "which agents of any version know"
        await redis.set(Keys("test").registry, ours)
        await node.membership.renew()
        assert "misconfigured" not in node.readiness.reasons()
        assert await knock(server.port) == (4002, "bad-token"), "it is asked who it is again"


async def knock(port: int) -> tuple[int | None, str | None]:
    """What an agent without a token is told at the door."""
    async with connect(
        f"ws://127.0.0.1:{port}/ws/agent", subprotocols=[Subprotocol(PROTOCOL)], compression=None
    ) as socket:
        await socket.wait_closed()
        return socket.close_code, socket.close_reason


async def test_whose_a_redis_is_is_forgotten_in_days_and_not_earlier(redis: Redis, keys: Keys) -> None:
    await claim(redis, keys, "ours")
    assert int(await ask(redis, "TTL", keys.registry)) > 86_400


async def test_a_registry_of_newer_code_is_refused_by_a_node_with_both_versions(settings: dict[str, Any]) -> None:
    import sqlite3

    path = str(settings["database_url"]).removeprefix("sqlite+aiosqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.close()
    assert await refused(settings | {"secret": OLD}) == (
        "the registry was made by a newer Relay: it is at version 0099 and this code knows 0003; "
        "install the newer Relay here"
    )


async def test_a_sweeper_does_not_sweep_another_clusters_machines(settings: dict[str, Any], redis: Redis) -> None:
    await claim(redis, Keys("test"), "another-registry")
    with pytest.raises(Misconfigured, match="another cluster uses this Redis under the prefix 'test'"):
        await sweep(Settings(**settings), asyncio.Event())
