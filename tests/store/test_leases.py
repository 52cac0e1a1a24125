"""Checks who counts as a living node, and that nodes that disagree on timing do not start."""

from __future__ import annotations

from typing import Any

import pytest

from relay.errors import Misconfigured
from relay.store import Lease, agree
from relay.store.leases import LISTED_MS, NODES
from tests.store.cluster import Cluster


async def test_a_node_is_listed_while_it_renews_and_gone_fifteen_seconds_after(moving: Cluster) -> None:
    first = Lease("boot-1", "http://a", 1)
    second = Lease("boot-2", "http://b", 2)
    await moving.leases.renew(second)
    await moving.leases.renew(first)
    assert await moving.leases.live() == [first, second]
    assert moving.valkey is not None
    moving.valkey.forward(10)
    await moving.leases.renew(second)
    moving.valkey.forward(6)
    assert await moving.leases.live() == [second]


async def test_a_node_that_drains_says_so_and_one_that_leaves_is_gone_at_once(cluster: Cluster) -> None:
    await cluster.leases.renew(Lease("boot", "http://a", 1))
    await cluster.leases.renew(Lease("boot", "http://a", 1, draining=True))
    assert await cluster.leases.live() == [Lease("boot", "http://a", 1, draining=True)]
    await cluster.leases.release("boot")
    assert await cluster.leases.live() == []


async def test_boots_of_long_ago_leave_the_index(moving: Cluster) -> None:
    assert moving.valkey is not None
    await moving.leases.renew(Lease("old", "http://a", 1))
    await moving.leases.renew(Lease("left", "http://c", 1))
    await moving.leases.release("left")
    moving.valkey.forward(LISTED_MS / 1000)
    await moving.leases.renew(Lease("new", "http://b", 2))
    assert (await moving.leases.listed()).vanished == []
    for listed, nodes in moving.keys.leases:
        assert await moving.redis.zrange(listed, 0, -1) == await moving.redis.hkeys(nodes) == ["new"]


async def test_who_vanished_is_remembered_and_not_who_left_or_said_that_it_would(moving: Cluster) -> None:
    for boot in ("vanished", "left", "hung"):
        await moving.leases.renew(Lease(boot, "http://a", 1))
    await moving.leases.release("left")
    await moving.leases.renew(Lease("hung", "http://a", 1, draining=True))
    assert moving.valkey is not None
    moving.valkey.forward(16)
    here = Lease("here", "http://b", 2)
    await moving.leases.renew(here)
    assert await moving.leases.listed() == ([here], ["vanished"])
    moving.valkey.forward(LISTED_MS / 1000 - 20)
    await moving.leases.renew(here)
    assert await moving.leases.listed() == ([here], ["vanished"])
    await moving.leases.renew(Lease("vanished", "http://a", 1))
    assert (await moving.leases.listed()).vanished == []


async def test_who_left_is_gone_although_a_list_was_not_told(cluster: Cluster) -> None:
    """As if its server had been away just then."""
    await cluster.leases.renew(Lease("boot", "http://a", 1))
    listed, nodes = cluster.keys.leases[0]
    score, said = await cluster.redis.zscore(listed, "boot"), await cluster.redis.hget(nodes, "boot")
    await cluster.leases.release("boot")
    assert score
    await cluster.redis.zadd(listed, {"boot": score})
    await cluster.redis.hset(nodes, "boot", said)
    assert await cluster.leases.listed() == ([], [])


async def test_of_nodes_that_end_again_and_again_only_so_many_are_remembered(moving: Cluster) -> None:
    assert moving.valkey is not None
    await moving.leases.renew(Lease("boot", "http://a", 1))
    boots = [f"boot-{number}" for number in range(NODES)]
    for listed, nodes in moving.keys.leases:
        score, said = await moving.redis.zscore(listed, "boot"), await moving.redis.hget(nodes, "boot")
        assert score
        assert said
        scores: dict[Any, Any] = {boot: score + place for place, boot in enumerate(boots)}
        await moving.redis.zadd(listed, scores)
        await moving.redis.hset(nodes, mapping=dict.fromkeys(scores, said))
    moving.valkey.forward(16)
    await moving.leases.renew(Lease("here", "http://b", 2))
    for listed, nodes in moving.keys.leases:
        left = await moving.redis.zrange(listed, 0, -1)
        assert len(left) == NODES == await moving.redis.hlen(nodes)
        assert {"here", boots[-1]} <= set(left)


async def test_a_node_that_disagrees_with_its_cluster_is_told_both_values(cluster: Cluster) -> None:
    await agree(cluster.redis, cluster.keys, {"BEAT_SECONDS": 10.0, "FLUSH_SECONDS": 5})
    await agree(cluster.redis, cluster.keys, {"BEAT_SECONDS": 10, "SWEEP_SECONDS": 2.0})
    with pytest.raises(Misconfigured, match=r"SWEEP_SECONDS is 2\.5 here and 2 in the cluster"):
        await agree(cluster.redis, cluster.keys, {"BEAT_SECONDS": 10.0, "SWEEP_SECONDS": 2.5})


async def test_the_agreement_lives_as_long_as_a_node_does(moving: Cluster) -> None:
    await agree(moving.redis, moving.keys, {"BEAT_SECONDS": 10.0})
    assert moving.valkey is not None
    for _ in range(3):
        moving.valkey.forward(100_000)
        await moving.leases.renew(Lease("boot", "http://a", 1))
    with pytest.raises(Misconfigured):
        await agree(moving.redis, moving.keys, {"BEAT_SECONDS": 11.0})


async def test_a_list_that_was_lost_or_missed_a_renewal_is_made_up_for_by_the_others(cluster: Cluster) -> None:
    """As if a server had been away, or had come back without its memory."""
    told = Lease("boot", "http://a", 1, draining=True)
    (first_list, first_nodes), (second_list, second_nodes), _ = cluster.keys.leases
    assert not await cluster.leases.renew(Lease("boot", "http://a", 1))
    missed = await cluster.redis.hget(first_nodes, "boot")
    assert await cluster.leases.renew(told)
    await cluster.redis.hset(first_nodes, "boot", missed)
    await cluster.redis.zincrby(first_list, -5_000, "boot")
    await cluster.redis.delete(second_list, second_nodes)
    assert await cluster.leases.live() == [told]
    assert await cluster.leases.renew(told)
