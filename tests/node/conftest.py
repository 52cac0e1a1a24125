"""Hands what a node needs to each test that asks for it: a real Valkey, and errands that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from relay.node.errands import Errands
from tests.support.valkey import _valkey, keys, redis, valkey

__all__ = ["_valkey", "errands", "keys", "redis", "valkey"]


@pytest.fixture
async def errands() -> AsyncIterator[Errands]:
    """Errands that run."""
    errands = Errands()
    running = asyncio.create_task(errands.run())
    await asyncio.sleep(0)
    yield errands
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
