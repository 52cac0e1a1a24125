"""Checks that every key has a lifetime, and that no script leaves its shard."""

from __future__ import annotations

import re

import pytest

from relay.rules.presence import Fence, Info
from relay.rules.timing import LEASE_SECONDS, REDIS_KEPT_SECONDS, TICKET_SECONDS
from relay.store import DeviceCodes, DrainOrder, Keys, Orders, Rate, Rates, Tickets, agree, connect
from relay.store.shard import PROLONGED_SECONDS
from tests.store.cluster import NODE, OTHER_NODE, Cluster, machine_id
from tests.support.valkey import Valkey

DAY_SECONDS = 86_400


async def _a_full_story(cluster: Cluster) -> None:
    """Everything that the store can do, once, by two nodes and a sweeper."""
    redis, keys, workspace = cluster.redis, cluster.keys, cluster.workspace
    await agree(redis, keys, {"BEAT_SECONDS": 10.0})
    await cluster.lease()
    revoked, silent, dropped, closed, contested = (machine_id() for _ in range(5))
    await cluster.revocations.load(cluster.shard, [machine_id() for _ in range(600)], 1)
    await cluster.revocations.follow(1, 2, [(workspace, machine_id())])
    await cluster.settle()
    fences = {machine: await cluster.welcome(machine) for machine in (revoked, silent, dropped, closed, contested)}
    await cluster.welcome(contested, OTHER_NODE)
    await cluster.flush(*fences.items())
    await cluster.reannounce((machine_id(), fences[silent]), upto=2)
    await cluster.presence.describe(workspace, silent, fences[silent], Info(pid=2))
    await cluster.presence.drop(workspace, dropped, fences[dropped])
    await cluster.presence.goodbye(workspace, closed, fences[closed])
    await cluster.revoke(revoked)
    await cluster.presence.forget(workspace, revoked)
    await cluster.presence.ring(workspace, [silent])
    await cluster.redis.zadd(keys.of(cluster.shard, "deadlines"), {silent: 1, dropped: 1})
    claimed = await cluster.sweep(NODE)
    await cluster.claims.confirm(claimed[:2])
    await cluster.flush((silent, fences[silent]))
    await cluster.claims.confirm(claimed[2:])
    await cluster.welcome(contested, NODE)
    await cluster.sweep(NODE)
    await cluster.welcome(machine_id())
    await cluster.claims.absent([(workspace, machine_id())])
    await cluster.claims.retire([cluster.shard], 500)
    await cluster.presence.read(workspace)
    await cluster.leases.live()
    await Orders(redis, keys).give(NODE, DrainOrder(id="1"))
    tickets, devices, rates = Tickets(redis, keys), DeviceCodes(redis, keys), Rates(redis, keys)
    await tickets.issue("rly_tick_1", "p1")
    await tickets.issue("rly_tick_2", "p1")
    await tickets.redeem("rly_tick_1")
    await devices.begin("device", "USER-CODE", "laptop")
    await devices.poll("device")
    await devices.approve("USER-CODE", "p1")
    await devices.poll("device")
    await rates.take(Rate("sign-in", 5, 1.0), "127.0.0.1")


async def test_after_a_full_story_every_key_has_its_lifetime(cluster: Cluster, keys: Keys) -> None:
    await _a_full_story(cluster)
    lifetimes = {key: await cluster.redis.ttl(key) async for key in cluster.redis.scan_iter(count=500)}
    assert all(key.startswith(keys.prefix + ":") for key in lifetimes)
    for key, seconds in lifetimes.items():
        if ":ticket:" in key:
            assert 0 < seconds <= TICKET_SECONDS, key
        elif key == keys.layout:
            assert 0 < seconds <= LEASE_SECONDS, key
        else:
            assert DAY_SECONDS < seconds <= REDIS_KEPT_SECONDS, key
    shapes = {re.sub(r"\{p\d+\}", "{pN}", key.removeprefix(keys.prefix + ":")).split(":")[-1] for key in lifetimes}
    assert {
        "fences", "deadlines", "offline", "places", "infos", "untold", "versions", "contests", "marker",
        "revoked", "upto", "leases", "nodes", "agreement",
    } <= shapes  # fmt: skip


@pytest.mark.parametrize(
    "what", ["load", "follow", "add", "hello", "reannounce", "ring", "lease", "agree", "flush", "beat"]
)
async def test_a_key_has_its_lifetime_from_its_first_write(cluster: Cluster, what: str) -> None:
    """A node that dies right after it must leave nothing for ever."""
    fence = Fence(1, 1, "c")
    if what in ("hello", "reannounce"):
        await cluster.revocations.load(cluster.shard, [], 0)
    match what:
        case "load":
            await cluster.revocations.load(cluster.shard, [machine_id()], 1)
        case "follow":
            await cluster.redis.set(cluster.keys.of(cluster.shard, "upto"), "1")
            await cluster.revocations.follow(1, 2, [(cluster.workspace, machine_id())])
        case "add":
            await cluster.revoke(machine_id())
        case "hello":
            await cluster.welcome(machine_id())
        case "reannounce":
            await cluster.reannounce((machine_id(), fence))
        case "ring":
            await cluster.presence.ring(cluster.workspace, [machine_id()])
        case "lease":
            await cluster.lease()
        case "agree":
            await agree(cluster.redis, cluster.keys, {"BEAT_SECONDS": 10.0})
        case "flush":
            await cluster.flush()
        case "beat":
            await cluster.settle()
            admitted = await cluster.welcome(machine := machine_id())
            await cluster.redis.delete(cluster.keys.of(cluster.shard, "deadlines"))
            await cluster.flush((machine, admitted))
    lifetimes = {key: await cluster.redis.ttl(key) async for key in cluster.redis.scan_iter()}
    assert lifetimes
    assert all(seconds > 0 for seconds in lifetimes.values()), lifetimes


async def test_no_script_touches_a_key_that_it_did_not_declare_nor_keys_of_two_tags(
    cluster: Cluster, valkey: Valkey
) -> None:
    await _a_full_story(cluster)  # so that Redis has every script, and is shown digests instead of texts
    await cluster.redis.flushdb()
    watcher = connect(valkey.url)
    async with watcher.monitor() as monitor:
        await _a_full_story(cluster)
        await cluster.redis.set("the end", 1)
        declared: set[str] = set()
        scripts = touched = 0
        while True:
            command = await monitor.next_command()
            words = _words(command["command"])
            if words[:2] == ["SET", "the end"]:
                break
            if words[0].upper() in ("EVALSHA", "EVAL"):
                scripts += 1
                declared = set(words[3 : 3 + int(words[2])])
                tags = {_tag(key) for key in declared}
                assert len(tags) == 1, declared
            elif command["client_type"] == "lua" and words[0].upper() != "TIME":
                touched += 1
                assert words[1] in declared, words
    await watcher.aclose()
    assert scripts > 60
    assert touched > 1_000


async def test_no_command_is_one_that_grows_with_the_cluster(cluster: Cluster) -> None:
    await cluster.redis.config_resetstat()
    await _a_full_story(cluster)
    used = {name.removeprefix("cmdstat_") for name in await cluster.redis.info("commandstats")}
    assert not used & {"keys", "smembers", "hgetall", "hvals", "hkeys", "flushall", "sort", "sinter", "sunion"}
    assert "evalsha" in used


async def test_a_flush_sets_every_lifetime_of_its_shard_anew_once_an_hour(cluster: Cluster) -> None:
    await _a_full_story(cluster)
    mine = [key async for key in cluster.redis.scan_iter(f"*{{p{cluster.shard}}}*") if "loading" not in key]
    assert len(mine) == 12
    for ages_seconds, prolonged in ((PROLONGED_SECONDS - 60, 0), (PROLONGED_SECONDS, len(mine))):
        left = REDIS_KEPT_SECONDS - ages_seconds
        for key in mine:
            await cluster.redis.expire(key, left)
        await cluster.flush()
        assert sum([await cluster.redis.ttl(key) > left for key in mine]) == prolonged


async def test_a_machine_that_comes_again_costs_redis_few_commands(cluster: Cluster) -> None:
    """After a node died all of its machines come at once: what each of them costs decides how many per second can."""
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    await cluster.redis.config_resetstat()
    await cluster.welcome(machine, OTHER_NODE, known_generation=fence.generation)
    stats = await cluster.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    del calls["config|resetstat"]
    assert "expire" not in calls
    assert sum(calls.values()) <= 20, calls


def _words(command: str) -> list[str]:
    """What a monitor prints after the time: redis-py has taken the quotation marks off."""
    return command.split(" ") if command != "SET the end 1" else ["SET", "the end", "1"]


def _tag(key: str) -> str:
    found = re.search(r"\{(.*?)\}", key)
    return found.group(1) if found else key


def test_a_workspace_is_in_the_same_shard_for_ever(keys: Keys) -> None:
    """A cluster in which two versions disagree would hold its machines twice."""
    assert keys.shard("2f1c1a2e-3f5b-4d35-9d0b-6d5a3cde0f0a") == 53
    assert keys.of(53, "fences") == "test:{p53}:fences"
