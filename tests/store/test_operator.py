"""Checks that a node gets an operator's orders once, and that an operator hears what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.errors import Ambiguous, NotFound, Unavailable
from relay.store import DrainOrder, Lease, OfferOrder, Orders
from relay.store.connection import ask
from relay.store.operator import Operator
from tests.store.cluster import Cluster

WAIT_SECONDS = 10.0
FIRST = Lease("aaaa-1", "http://first", 1, agents=900, browsers=3)
SECOND = Lease("aaaa-2", "http://second", 2)


@pytest.fixture
def operator(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Somebody who looks all the time."""
    monkeypatch.setattr("relay.store.operator.LOOK_SECONDS", 0.0)
    return Operator(cluster.redis, cluster.keys)


@pytest.fixture
async def orders(cluster: Cluster) -> Orders:
    """What the two nodes read, which both have a lease."""
    await cluster.leases.renew(FIRST)
    await cluster.leases.renew(SECOND)
    return Orders(cluster.redis, cluster.keys)


async def _next(told: AsyncIterator[Lease]) -> Lease:
    return await anext(told)


async def test_an_order_stays_until_it_is_done_and_one_of_another_kind_does_not_displace_it(orders: Orders) -> None:
    drain, offer, later = DrainOrder(id="1"), OfferOrder(id="2", to={"http://x": 5}), OfferOrder(id="3", to={})
    await orders.give(FIRST.boot, drain)
    await orders.give(FIRST.boot, offer)
    assert await orders.given(FIRST.boot) == [drain, offer]
    await orders.give(FIRST.boot, later)
    await orders.done(FIRST.boot, offer)  # replaced meanwhile: the later one is not done
    assert await orders.given(FIRST.boot) == [drain, later]
    await orders.done(FIRST.boot, drain)
    assert await orders.given(FIRST.boot) == [later]
    assert await orders.given(SECOND.boot) == []


async def test_an_order_of_a_later_version_is_passed_over(cluster: Cluster, orders: Orders) -> None:
    await ask(cluster.redis, "HSET", cluster.keys.orders(FIRST.boot), "dance", '{"type":"dance","id":"1"}')
    assert await orders.given(FIRST.boot) == []


async def test_an_order_that_cannot_be_understood_keeps_no_other_from_being_read(
    cluster: Cluster, orders: Orders
) -> None:
    drain = DrainOrder(id="1")
    await orders.give(FIRST.boot, drain)
    for order in ('{"type":"offer","id":"2","to":["http://x"]}', '{"type":"offer"}', "offer"):
        await ask(cluster.redis, "HSET", cluster.keys.orders(FIRST.boot), "offer", order)
        assert await orders.given(FIRST.boot) == [drain]


async def test_a_node_is_found_by_its_address_or_the_beginning_of_its_id(operator: Operator, orders: Orders) -> None:
    assert await operator.find("http://first/") == FIRST
    assert await operator.find("AAAA-2") == SECOND
    with pytest.raises(Ambiguous, match=r"http://first .*, http://second"):
        await operator.find("aaaa")
    with pytest.raises(NotFound, match="http://first"):
        await operator.find("bbbb")
    with pytest.raises(NotFound):
        await operator.find("")


async def test_an_operator_follows_a_drain_to_its_end(cluster: Cluster, operator: Operator, orders: Orders) -> None:
    await operator.drain(FIRST)
    left = []
    async with asyncio.timeout(WAIT_SECONDS):
        (order,) = await orders.given(FIRST.boot)
        await cluster.leases.renew(Lease(FIRST.boot, FIRST.url, 1, draining=True, agents=5))
        async for now in operator.follow(FIRST):
            left.append(now.agents)
            if now.agents:
                await cluster.leases.renew(Lease(FIRST.boot, FIRST.url, 1, draining=True))
            else:
                await orders.done(FIRST.boot, order)
                await cluster.leases.release(FIRST.boot)
    assert left == [5, 0]


async def test_a_node_that_is_gone_without_a_word_has_not_drained(
    cluster: Cluster, operator: Operator, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.operator.GONE_SECONDS", 0.0)
    await operator.drain(FIRST)
    await cluster.leases.release(FIRST.boot)
    with pytest.raises(Unavailable, match="did not say that it had drained"):
        await anext(operator.follow(FIRST))


async def test_a_redis_that_forgets_in_the_middle_of_a_drain_does_not_end_it(
    cluster: Cluster, operator: Operator, orders: Orders
) -> None:
    """The node is listed again with its next renewal, and has remembered what it drains for."""
    draining = Lease(FIRST.boot, FIRST.url, 1, draining=True, agents=5)
    await operator.drain(FIRST)
    (order,) = await orders.given(FIRST.boot)
    await cluster.leases.renew(draining)
    async with asyncio.timeout(WAIT_SECONDS):
        told = operator.follow(FIRST)
        assert await anext(told) == draining
        await cluster.redis.flushdb()
        looking = asyncio.create_task(_next(told))
        for _ in range(20):
            await orders.given(FIRST.boot)  # the operator looks as often
        assert not looking.done()
        await cluster.leases.renew(Lease(FIRST.boot, FIRST.url, 1, draining=True))
        assert (await looking).agents == 0
        await orders.done(FIRST.boot, order)
        await cluster.leases.release(FIRST.boot)
        assert [each async for each in told] == []


async def test_an_order_that_redis_forgot_before_the_node_saw_it_is_given_again(
    cluster: Cluster, operator: Operator, orders: Orders
) -> None:
    await operator.drain(FIRST)
    await cluster.redis.flushdb()
    told = operator.follow(FIRST)
    looking = asyncio.create_task(_next(told))
    async with asyncio.timeout(WAIT_SECONDS):
        while not await orders.given(FIRST.boot):
            pass
        await cluster.leases.renew(Lease(FIRST.boot, FIRST.url, 1, draining=True, agents=5))
        assert (await looking).agents == 5


async def test_a_node_that_does_not_take_the_order_is_told_of(
    operator: Operator, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.operator.TAKEN_SECONDS", -1.0)
    await operator.drain(FIRST)
    with pytest.raises(Unavailable, match="does not begin to drain"):
        await anext(operator.follow(FIRST))


async def test_nodes_that_hold_more_are_ordered_to_share_and_draining_ones_are_left_out(
    cluster: Cluster, operator: Operator, orders: Orders
) -> None:
    await cluster.leases.renew(Lease("bbbb", "http://third", 3, draining=True))
    assert [share.agents for share in await operator.rebalance(dry_run=True)] == [450]
    assert await orders.given(FIRST.boot) == []
    await operator.rebalance()
    (order,) = await orders.given(FIRST.boot)
    assert isinstance(order, OfferOrder)
    assert order.to == {"http://second": 450}
    assert await orders.given(SECOND.boot) == await orders.given("bbbb") == []
