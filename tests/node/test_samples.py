"""Shows that a node that is held, or deaf, says so in numbers."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from relay.node.meters import Meters
from relay.node.samples import LAG_EVERY_SECONDS, Samples


class Bus:
    """A bus as its probes find it."""

    deaf = False
    round_trip_seconds: float | None = 0.004


class Sampled:
    """A node's samples, and what is exported of them."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.registry = CollectorRegistry()
        self.samples = Samples(Meters(self.registry), cast(Any, self.bus))

    def within(self, name: str, le: str) -> float:
        """How many samples were no longer than this."""
        return self.registry.get_sample_value(f"{name}_bucket", {"le": le}) or 0.0


def test_a_second_in_which_the_bus_is_deaf_is_no_good_second() -> None:
    sampled = Sampled()
    sampled.samples.deliver()
    sampled.bus.deaf = True
    sampled.samples.deliver()
    sampled.bus.deaf, sampled.bus.round_trip_seconds = False, None  # it has not heard itself yet
    sampled.samples.deliver()
    assert sampled.within("relay_delivery_seconds", "0.05") == 1
    assert sampled.within("relay_delivery_seconds", "+Inf") == 3
    assert sampled.registry.get_sample_value("relay_delivery_seconds_sum") == 0.004


def test_the_worst_lag_of_a_second_is_what_an_operator_sees() -> None:
    sampled = Sampled()
    for seconds in (0.001, 0.3, 0.002):
        sampled.samples.lag(seconds)
    sampled.samples.deliver()
    assert sampled.samples.latest_lag_seconds == 0.3
    sampled.samples.deliver()
    assert sampled.samples.latest_lag_seconds == 0.0


async def test_a_loop_that_is_held_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = Sampled()
    seen, lag = asyncio.Event(), sampled.samples.lag

    def note(seconds: float) -> None:
        lag(seconds)
        seen.set()

    monkeypatch.setattr(sampled.samples, "lag", note)
    sampling = asyncio.create_task(sampled.samples.run())
    await asyncio.sleep(0)
    time.sleep(LAG_EVERY_SECONDS + 0.15)  # noqa: ASYNC251 - nobody gets a turn meanwhile
    await seen.wait()
    sampling.cancel()
    assert sampled.within("relay_loop_lag_seconds", "0.1") == 0
