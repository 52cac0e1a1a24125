"""Asks nodes whether they take newcomers, and why not."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tests.support.patience import within

LOOK_SECONDS = 0.1
WAIT_SECONDS = 30.0


def reasons(url: str) -> set[str]:
    """Why a node takes none; empty when it does."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return set(json.load(answer)["reasons"])
    except urllib.error.HTTPError as error:
        with error:
            return set(json.load(error)["reasons"])
    except OSError as error:  # it is not there, or not yet
        return {str(error)}


async def until(url: str, enough: Callable[[set[str]], bool], within_seconds: float = WAIT_SECONDS) -> float:
    """Wait until a node's reasons are so; how many seconds that took."""
    since = time.monotonic()
    while not enough(found := await asyncio.to_thread(reasons, url)):
        assert time.monotonic() - since < within(within_seconds), f"{url} says {found or 'ready'}"
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - since


async def until_ready(urls: list[str], within_seconds: float = WAIT_SECONDS) -> float:
    """Wait until all of them take newcomers; how many seconds that took."""
    return max(await asyncio.gather(*(until(url, lambda found: not found, within_seconds) for url in urls)))
