"""Opens one node for each test, on the test's Valkey and a registry of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.valkey import Valkey, _valkey, valkey
from tests.web.site import Caller, Site, open_site

__all__ = ["_valkey", "valkey"]


@pytest.fixture
async def site(tmp_path: Path, valkey: Valkey) -> AsyncIterator[Site]:
    """A founded cluster of one node."""
    async with open_site(tmp_path, valkey) as opened:
        yield opened


@pytest.fixture
async def owner(site: Site) -> Caller:
    """The founder, with a personal token."""
    return await site.caller(site.owner)


@pytest.fixture
async def key(site: Site) -> Caller:
    """A workspace key."""
    return await site.key()
