"""Checks tickets, device sign-ins and rates: each is used once, in time, and by one."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from relay.store import Approved, DeviceCodes, Ended, Keys, Rate, Rates, Tickets, Waiting
from tests.support.valkey import Valkey


async def test_a_ticket_is_redeemed_once_however_many_try(redis: Redis, keys: Keys) -> None:
    tickets = Tickets(redis, keys)
    await tickets.issue("rly_tick_x", "person-1")
    answers = await asyncio.gather(*(tickets.redeem("rly_tick_x") for _ in range(10)))
    assert sorted(answers, key=str) == [None] * 9 + ["person-1"]
    assert await tickets.redeem("rly_tick_unknown") is None


async def test_a_ticket_is_good_for_thirty_seconds(standing_redis: Redis, standing_valkey: Valkey, keys: Keys) -> None:
    tickets = Tickets(standing_redis, keys)
    await tickets.issue("rly_tick_x", "person-1")
    await tickets.issue("rly_tick_y", "person-1")
    standing_valkey.forward(28)
    assert await tickets.redeem("rly_tick_x") == "person-1"
    standing_valkey.forward(3)
    assert await tickets.redeem("rly_tick_y") is None


async def test_redis_holds_no_secret_in_the_clear(redis: Redis, keys: Keys) -> None:
    await Tickets(redis, keys).issue("rly_tick_secret", "person-1")
    await DeviceCodes(redis, keys).begin("device_secret", "USER-CODE")
    await Rates(redis, keys).take(Rate("sign-in", 1, 1.0), "10.0.0.1")
    found = [key async for key in redis.scan_iter()]
    assert len(found) == 4
    assert not [key for key in found if "secret" in key or "10.0.0.1" in key]


async def test_a_device_waits_until_somebody_approves_and_is_told_once(redis: Redis, keys: Keys) -> None:
    devices = DeviceCodes(redis, keys)
    assert await devices.begin("device", "USER-CODE", "jane's laptop")
    assert await devices.client("USER-CODE") == "jane's laptop"
    assert await devices.poll("device") == Waiting("authorization-pending", 5.0)
    assert await devices.approve("USER-CODE", "jane")
    assert not await devices.approve("USER-CODE", "mallory")
    assert not await devices.deny("USER-CODE")
    assert await devices.client("USER-CODE") is None
    answers = await asyncio.gather(devices.poll("device"), devices.poll("device"))
    assert sorted(map(repr, answers)) == sorted([repr(Approved("jane")), repr(Ended("expired"))])


async def test_a_denied_an_unknown_and_a_late_device_are_told_so(
    standing_redis: Redis, standing_valkey: Valkey, keys: Keys
) -> None:
    devices = DeviceCodes(standing_redis, keys)
    await devices.begin("denied", "CODE-1")
    assert await devices.deny("CODE-1")
    assert await devices.poll("denied") == Ended("denied")
    assert await devices.poll("unknown") == Ended("expired")
    assert not await devices.approve("CODE-9", "jane")
    await devices.begin("late", "CODE-2")
    standing_valkey.forward(601)
    assert not await devices.approve("CODE-2", "jane")
    assert await devices.poll("late") == Ended("expired")


async def test_a_user_code_in_use_must_be_drawn_again(redis: Redis, keys: Keys) -> None:
    devices = DeviceCodes(redis, keys)
    assert await devices.begin("one", "CODE")
    assert not await devices.begin("two", "CODE")
    await devices.approve("CODE", "jane")
    assert await devices.poll("one") == Approved("jane")


async def test_a_device_that_polls_too_often_is_slowed_down_further_each_time(
    standing_redis: Redis, standing_valkey: Valkey, keys: Keys
) -> None:
    devices = DeviceCodes(standing_redis, keys)
    await devices.begin("device", "CODE")
    assert await devices.poll("device") == Waiting("authorization-pending", 5.0)
    assert await devices.poll("device") == Waiting("slow-down", 10.0)
    standing_valkey.forward(6)
    assert await devices.poll("device") == Waiting("slow-down", 15.0)
    standing_valkey.forward(15)
    assert await devices.poll("device") == Waiting("authorization-pending", 15.0)


async def test_a_bucket_allows_its_burst_and_then_its_rate(
    standing_redis: Redis, standing_valkey: Valkey, keys: Keys
) -> None:
    rates, rate = Rates(standing_redis, keys), Rate("sign-in", burst=3, per_second=0.5)
    assert [await rates.take(rate, "a") for _ in range(3)] == [0.0, 0.0, 0.0]
    wait = await rates.take(rate, "a")
    assert 1.5 < wait <= 2.0
    assert await rates.take(rate, "b") == 0.0  # somebody else
    assert await rates.take(Rate("other", 1, 1.0), "a") == 0.0  # something else
    standing_valkey.forward(wait + 0.1)
    assert await rates.take(rate, "a") == 0.0
    assert await rates.take(rate, "a") > 0.0
