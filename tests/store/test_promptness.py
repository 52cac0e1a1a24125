"""Shows that a server which was away or stood still takes nobody offline before nodes said whom they turned away."""

from __future__ import annotations

import pytest

from relay.errors import Unavailable
from relay.store import promptness
from relay.store.promptness import LATE_SECONDS, NEVER, NODES_FIRST_SECONDS, Promptness
from tests.store.cluster import Cluster, machine_id

SHARD, SERVER_MS = 7, 1_000_000


@pytest.fixture
def prompt() -> Promptness:
    """Of a sweeper whose server has answered at once."""
    prompt = Promptness()
    assert prompt.until_ms(SHARD, 0.0) == NEVER
    assert prompt.answered(SHARD, 0.0, 0.0, SERVER_MS)
    return prompt


def test_what_is_heard_a_second_later_than_it_was_said_is_too_late(prompt: Promptness) -> None:
    assert prompt.until_ms(SHARD, 5.0) == SERVER_MS + (5.0 + LATE_SECONDS) * 1000


def test_a_server_whose_clock_was_moved_is_asked_again_at_once(prompt: Promptness) -> None:
    assert prompt.answered(SHARD, 5.0, 5.1, 9 * SERVER_MS)
    assert prompt.until_ms(SHARD, 5.1) == 9 * SERVER_MS + LATE_SECONDS * 1000


def test_where_a_server_was_slow_nodes_are_first(prompt: Promptness) -> None:
    answered = 2 * LATE_SECONDS
    assert not prompt.answered(SHARD, 0.0, answered, SERVER_MS)
    assert prompt.until_ms(SHARD, answered + NODES_FIRST_SECONDS - 0.1) == NEVER
    assert prompt.until_ms(SHARD, answered + NODES_FIRST_SECONDS) > SERVER_MS


def test_where_it_did_not_answer_they_are_first_from_when_it_does(prompt: Promptness) -> None:
    prompt.lost([SHARD])
    assert prompt.until_ms(SHARD, 60.0) == NEVER
    assert not prompt.answered(SHARD, 60.0, 60.0, SERVER_MS)
    assert prompt.until_ms(SHARD, 61.0) == NEVER
    assert not prompt.answered(SHARD, 61.0, 61.0, SERVER_MS)
    assert prompt.until_ms(SHARD, 60.0 + NODES_FIRST_SECONDS) > SERVER_MS


async def test_a_claim_that_redis_hears_too_late_takes_nobody(moving: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that lay in the socket of a server which stood still, and runs when that runs again."""
    await moving.settle()
    assert await moving.sweep() == []  # the sweeper has heard from Redis
    machine = machine_id()
    await moving.presence.drop(moving.workspace, machine, await moving.welcome(machine), 0)
    await moving.tell()
    await moving.later(11)
    monkeypatch.setattr(promptness, "LATE_SECONDS", -1.0)
    assert await moving.sweep() == []
    await moving.excuse()
    assert await moving.state(machine) == "degraded"
    monkeypatch.undo()
    assert await moving.sweep() == []  # it is slow, and nodes are first


async def test_a_shard_that_was_away_is_not_swept_before_nodes_had_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.settle()
    machine = machine_id()
    fence = await cluster.welcome(machine)
    assert len(await cluster.tell()) == 1
    assert await cluster.presence.goodbye(cluster.workspace, machine, fence)

    async def fail(*_: object) -> None:
        raise Unavailable("Redis is away")

    with monkeypatch.context() as patched:
        patched.setattr("relay.store.claims.run_all", fail)
        with pytest.raises(Unavailable):
            await cluster.sweep()
        with pytest.raises(Unavailable):
            await cluster.claims.look([cluster.shard])
    assert await cluster.sweep() == []
    monkeypatch.setattr(promptness, "NODES_FIRST_SECONDS", 0.0)
    cluster.claims._promptness.lost([cluster.shard])
    await cluster.claims.look([cluster.shard])
    assert [each.machine for each in await cluster.sweep()] == [machine]
