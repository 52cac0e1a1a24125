"""Shows that a full collection looks at what is new, that nothing lasting is lost by it, and when everything is."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.node.pauses import (
    FEW_CONNECTIONS,
    FROZEN_OBJECTS,
    THAW_AT_LATEST_SECONDS,
    THAW_SECONDS,
    THRESHOLDS,
    Pauses,
)

LOOKED_AT = FROZEN_OBJECTS + THRESHOLDS[0] * (THRESHOLDS[1] + 1) * (THRESHOLDS[2] + 1)
ODD = 2_000  # objects that a test and its tools make beside
CONNECTIONS = 5_000
OBJECTS = 10  # of each


class Loop:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


class Node:
    """As many connections as it is told, at a time that it is told."""

    def __init__(self) -> None:
        self.connections = 0
        self.now = 0.0
        self.pauses = Pauses(lambda: self.connections, lambda: self.now)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node whose collector is kept; afterwards it is as it was."""
    made = Node()
    running = asyncio.create_task(made.pauses.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()
    await asyncio.wait([running])
    gc.unfreeze()


def connection() -> list[Any]:
    """Something of as many tracked objects as an idle connection."""
    return [[] for _ in range(OBJECTS - 1)]


async def test_a_full_collection_looks_at_no_more_objects_however_many_connections_there_are(node: Node) -> None:
    looked_at: list[int] = []

    def count(phase: str, info: dict[str, Any]) -> None:
        if (phase, info["generation"]) == ("start", 2):
            looked_at.append(len(gc.get_objects()))

    gc.callbacks.append(count)
    held = [connection() for _ in range(CONNECTIONS)]
    gc.callbacks.remove(count)
    assert len(looked_at) >= len(held) * OBJECTS // (LOOKED_AT + ODD)
    assert max(looked_at) <= LOOKED_AT + ODD


async def test_what_is_under_way_in_a_collection_is_collected_when_it_is_over(node: Node) -> None:
    request = Loop()
    gc.collect()
    gone = weakref.ref(request)
    del request
    gc.collect()
    assert gone() is None


async def test_what_was_put_aside_and_became_garbage_is_found_by_the_next_thaw(node: Node) -> None:
    held, loop = [connection() for _ in range(FROZEN_OBJECTS // OBJECTS + 1)], Loop()
    gc.collect()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is not None
    node.now = THAW_SECONDS
    assert node.pauses.thaws(node.now)
    node.pauses.thaw()
    assert gone() is None
    assert held
    assert not node.pauses.thaws(node.now)


async def test_a_thaw_waits_its_time_and_until_nearly_nobody_is_here(node: Node) -> None:
    held = [connection() for _ in range(FROZEN_OBJECTS // OBJECTS + 1)]
    assert not node.pauses.thaws(THAW_SECONDS), "nothing was put aside"
    gc.collect()
    assert held
    assert not node.pauses.thaws(THAW_SECONDS - 1)
    node.connections = FEW_CONNECTIONS + 1
    assert not node.pauses.thaws(10 * THAW_SECONDS)
    node.connections = FEW_CONNECTIONS
    assert node.pauses.thaws(THAW_SECONDS)


async def test_a_node_that_is_never_quiet_thaws_once_a_day(node: Node) -> None:
    """Else what was put aside and became garbage would be lost for as long as the process lives."""
    held, loop = [connection() for _ in range(FROZEN_OBJECTS // OBJECTS + 1)], Loop()
    gc.collect()
    gone = weakref.ref(loop)
    del loop
    node.connections = 100 * FEW_CONNECTIONS
    assert not node.pauses.thaws(THAW_AT_LATEST_SECONDS - 1)
    node.now = THAW_AT_LATEST_SECONDS
    assert node.pauses.thaws(node.now)
    node.pauses.thaw()
    assert gone() is None
    assert held
    assert not node.pauses.thaws(2 * THAW_AT_LATEST_SECONDS - 1)


async def test_the_latest_and_the_longest_pause_are_told() -> None:
    ticks = iter([0.0, 1.0, 3.0, 5.0, 6.0])
    pauses = Pauses(lambda: 0, lambda: next(ticks))
    running = asyncio.create_task(pauses.run())
    await asyncio.sleep(0)
    for longest, latest in ((2.0, 2.0), (2.0, 1.0)):
        gc.collect()
        assert (pauses.longest_seconds, pauses.latest_seconds) == (longest, latest)
    gc.collect(0)
    running.cancel()
    await asyncio.wait([running])
    gc.unfreeze()


async def test_the_collector_is_as_it_was_when_the_node_has_ended() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    running = asyncio.create_task(Node().pauses.run())
    await asyncio.sleep(0)
    assert (gc.get_threshold(), list(gc.callbacks)) != before
    running.cancel()
    await asyncio.wait([running])
    gc.unfreeze()
    assert (gc.get_threshold(), list(gc.callbacks)) == before
