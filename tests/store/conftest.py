"""Hands the store's parts, on the test's Valkey, to each test that asks for them."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from relay.store import Claims, Keys, Presence, Revocations
from tests.store.cluster import Cluster
from tests.support.valkey import Valkey, _standing_valkey, _valkey, keys, redis, standing_redis, standing_valkey, valkey

__all__ = ["_standing_valkey", "_valkey", "keys", "redis", "standing_redis", "standing_valkey", "valkey"]


@pytest.fixture
def cluster(redis: Redis, keys: Keys) -> Cluster:
    """Nodes, machines and sweepers on a Redis whose clock runs as it does."""
    return Cluster(redis, keys)


@pytest.fixture
def moving(standing_redis: Redis, standing_valkey: Valkey, keys: Keys) -> Cluster:
    """The same on a Redis whose clock the test moves with `later`."""
    return Cluster(standing_redis, keys, standing_valkey)


@pytest.fixture
def presence(redis: Redis, keys: Keys) -> Presence:
    """Presence on the test's Valkey."""
    return Presence(redis, keys)


@pytest.fixture
def claims(redis: Redis, keys: Keys) -> Claims:
    """Claims on the test's Valkey."""
    return Claims(redis, keys)


@pytest.fixture
def revocations(redis: Redis, keys: Keys) -> Revocations:
    """The mirror on the test's Valkey."""
    return Revocations(redis, keys)
