"""Builds the page once and gives each test two nodes of a fake relay and a person with a browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.browser import browser
from tests.ui.fake_relay import FakeRelay, cluster

__all__ = ["browser"]

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page as its sources are now."""
    done = subprocess.run([sys.executable, "deploy/build_ui.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest_asyncio.fixture(loop_scope="session")
async def relay(built_page: None) -> AsyncIterator[FakeRelay]:
    """Two nodes."""
    async with cluster() as running:
        yield running
