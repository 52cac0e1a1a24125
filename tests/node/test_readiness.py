"""Shows that a node which cannot hear the others says so, and takes newcomers again once it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.app import PARTING_SECONDS, Node
from relay.node.socket import FAREWELL_SECONDS
from relay.opening import open_node
from relay.settings import Settings
from tests.node.two_nodes import WAIT_SECONDS
from tests.support.valkey import Valkey

SECRET = "a-secret-of-the-test-cluster-which-is-long-enough"


@pytest.fixture
async def node(valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node that runs, and notices within a moment that it is deaf."""
    monkeypatch.setattr("relay.store.branch.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("relay.store.branch.DEAF_SECONDS", 1.0)
    settings = Settings(redis_url=valkey.url, database_url=f"sqlite+aiosqlite:///{tmp_path}/relay.db", secret=SECRET)
    async with open_node(settings) as node:
        running = asyncio.create_task(node.run())
        yield node
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_node_that_is_deaf_takes_no_newcomers_until_it_hears_itself_again(node: Node, valkey: Valkey) -> None:
    assert "bus-deaf" in node.readiness.reasons()  # it has not begun to listen
    async with asyncio.timeout(WAIT_SECONDS):
        await node.bus.ready()
        assert "bus-deaf" not in node.readiness.reasons()
        lost, restored = asyncio.Event(), asyncio.Event()
        node.bus.on_lost, node.bus.on_restored = lost.set, restored.set
        valkey.freeze()
        try:
            await lost.wait()
            assert "bus-deaf" in node.readiness.reasons()
        finally:
            valkey.thaw()
        await restored.wait()
        assert "bus-deaf" not in node.readiness.reasons()


async def test_a_node_that_has_had_no_redis_for_too_long_says_so_until_redis_answers(
    node: Node, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.node.outage.TICKS", 3)
    async with asyncio.timeout(WAIT_SECONDS):
        await node.membership.renew()
        assert "redis-lost" not in node.readiness.reasons()
        valkey.freeze()
        try:
            for _ in range(4):
                node.outage.tick()
            assert "redis-lost" in node.readiness.reasons()
        finally:
            valkey.thaw()
        await node.membership.renew()
        node.outage.tick()
        assert "redis-lost" not in node.readiness.reasons()


async def test_a_node_for_which_a_part_of_redis_is_away_says_so_and_is_unready_only_if_its_inbox_is_there(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away for the others too: were all of them unready, nobody would have anywhere to go."""
    async with asyncio.timeout(WAIT_SECONDS):
        await node.bus.ready()
        await node.membership.renew()
    node.beats.away = frozenset()
    assert (node.readiness.reasons(), node.readiness.impaired()) == ([], [])
    node.beats.away = frozenset({7})
    assert (node.readiness.reasons(), node.readiness.impaired()) == ([], ["redis-partly-away"])
    node.beats.away = frozenset()
    monkeypatch.setattr(type(node.bus), "deaf", True)
    assert (node.readiness.reasons(), node.readiness.impaired()) == ([], ["redis-partly-away"])
    inbox = node.keys.inbox(node.boot)
    monkeypatch.setattr(node.bus, "deaf_to", lambda channel: channel == inbox)
    assert (node.readiness.reasons(), node.readiness.impaired()) == (["bus-deaf"], [])


def test_a_process_that_ends_waits_longer_than_for_a_peer_that_never_answers() -> None:
    """Such a peer is cut when its time is over, and what its end leaves to be done comes after that."""
    assert PARTING_SECONDS >= FAREWELL_SECONDS + 1
