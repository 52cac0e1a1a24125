"""Shows that a hello which Redis reads when nobody waits for its answer any more changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from relay.errors import Unavailable
from relay.store import Admitted, Pipeline, Presence
from relay.store.connection import ANSWER_SECONDS, ask
from tests.store.cluster import OTHER_NODE, Cluster, machine_id
from tests.support.valkey import Valkey


class StandsStill:
    """A Redis that does nothing for a while with what it is told, and whose answers nobody waits for any more."""

    def __init__(self, cluster: Cluster) -> None:
        self.seconds = 0.0
        self._cluster = cluster

    async def execute_command(self, *words: Any) -> Any:
        """See `Commands`."""
        assert self._cluster.valkey is not None
        self._cluster.valkey.forward(self.seconds)
        answer = await ask(self._cluster.redis, *words)
        if self.seconds > ANSWER_SECONDS:
            raise TimeoutError("nobody waits any more")
        return answer


async def test_a_hello_that_waited_in_a_redis_which_stood_still_takes_no_machine(moving: Cluster) -> None:
    await moving.settle()
    machine, redis = machine_id(), StandsStill(moving)
    elsewhere = Presence(moving.redis, moving.keys, redis)
    assert isinstance(await elsewhere.announce(moving.announcement(machine_id(), OTHER_NODE)), Admitted)
    fence = await moving.welcome(machine)
    redis.seconds = ANSWER_SECONDS + 1
    with pytest.raises(Unavailable):
        await elsewhere.announce(moving.announcement(machine, OTHER_NODE, known_generation=fence.generation))
    assert (await moving.record(machine)).fence == fence
    assert await moving.flush((machine, fence)) == []


async def test_a_hello_that_waited_for_less_is_taken(moving: Cluster) -> None:
    await moving.settle()
    machine, redis = machine_id(), StandsStill(moving)
    slow = Presence(moving.redis, moving.keys, redis)
    assert isinstance(await slow.announce(moving.announcement(machine_id())), Admitted)
    redis.seconds = ANSWER_SECONDS - 1
    assert isinstance(await slow.announce(moving.announcement(machine)), Admitted)


@pytest.mark.parametrize("seconds", [3_600.0, 60.0])
async def test_a_clock_that_was_set_forward_costs_one_more_question(moving: Cluster, seconds: float) -> None:
    await moving.settle()
    await moving.welcome(machine_id())
    assert moving.valkey is not None
    moving.valkey.forward(seconds)
    await moving.welcome(machine_id())


async def test_a_real_redis_that_is_stopped_and_goes_on_takes_no_machine(cluster: Cluster, valkey: Valkey) -> None:
    """Everything that was sent to it is read then, also from connections that have been given up."""
    await cluster.settle()
    machine, pipeline = machine_id(), Pipeline(valkey.url)
    elsewhere = Presence(cluster.redis, cluster.keys, pipeline)
    try:
        assert isinstance(await elsewhere.announce(cluster.announcement(machine_id(), OTHER_NODE)), Admitted)
        fence = await cluster.welcome(machine)
        valkey.freeze()
        try:
            with pytest.raises(Unavailable):
                await elsewhere.announce(cluster.announcement(machine, OTHER_NODE, known_generation=fence.generation))
        finally:
            valkey.thaw()
        assert (await cluster.record(machine)).fence == fence
    finally:
        await pipeline.aclose()
