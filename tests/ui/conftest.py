"""Builds the page once and gives each test two nodes of a fake relay and a person with a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.browser import browser
from tests.ui.building import build_ui
from tests.ui.fake_relay import FakeRelay, cluster

__all__ = ["browser"]


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page as its sources are now."""
    build_ui.build()


@pytest_asyncio.fixture(loop_scope="session")
async def relay(built_page: None) -> AsyncIterator[FakeRelay]:
    """Two nodes."""
    async with cluster() as running:
        yield running
