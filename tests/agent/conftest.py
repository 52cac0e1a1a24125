"""Gives tests of the agent two nodes, and an agent that is connected to the first one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.agent.node import Node, node
from tests.agent.served import Served


@pytest.fixture
async def one() -> AsyncIterator[Node]:
    async with node() as made:
        yield made


@pytest.fixture
async def two() -> AsyncIterator[Node]:
    async with node() as made:
        yield made


@pytest.fixture
async def agent(tmp_path: Path, one: Node) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        served = Served(tmp_path, [one])
        stack.push_async_callback(served.stopped)
        served.start()
        yield served
