"""Opens a node over its registry and its Redis, once these are the same cluster's, and closes all of them after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.app import Node, unix_ms
from relay.observing import followed, observe
from relay.registry import Registry, migrate
from relay.rules import timing
from relay.settings import Settings
from relay.store import Keys, Pipeline, agree, belong, open_memory


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """A node over a migrated registry and a Redis whose cluster keeps the same times. Raises `Misconfigured` or
    `Unavailable`; closes what it opened."""
    await migrate(settings.database_url)
    registry = await Registry.open(settings.database_url)
    try:
        redis = open_memory(settings.redis_url)
        try:
            keys, charter = Keys(settings.redis_prefix), await registry.charter(unix_ms())
            await belong(redis, keys, charter.id)
            chosen = await registry.rhythms.latest()
            await agree(redis, keys, timing.agreed(), chosen.values)
            pipeline = Pipeline(settings.redis_url)
            try:
                node = Node(settings, registry, redis, pipeline, charter.id, chosen)
                node.observers = observe(node, registry, redis, pipeline)
                await node.tail.begin()  # before anybody comes: a hello is checked against revocations up to the cursor
                await node.membership.enter()
                try:
                    async with followed(node):
                        yield node
                finally:
                    await node.membership.leave()  # also one that never came to listen: others would wait for it
            finally:
                await pipeline.aclose()
        finally:
            await redis.aclose()
    finally:
        await registry.close()
