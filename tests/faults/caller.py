"""Asks a node by REST as people do while something is broken, and measures how long they wait for what."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from tests.support.patience import within

ANSWER_SECONDS = 5.0  # what is promised: nobody waits longer for a 503
SLACK_SECONDS = 2.0  # for a busy machine
HEALED_SECONDS = 10.0
LOOK_SECONDS = 0.1


class Caller:
    """Somebody who asks one node by REST, and how long the answers took."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._client = httpx2.AsyncClient(base_url=url, headers=headers, timeout=30.0)
        self.took_seconds = 0.0

    async def __call__(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        began = time.monotonic()
        response = await self._client.request(method, path, json=body)
        self.took_seconds = time.monotonic() - began
        return response

    async def close(self) -> None:
        """Leave."""
        await self._client.aclose()

    async def is_refused_for_the_registry(self, method: str, path: str, body: Any) -> None:
        """A write gets its clear 503 in time."""
        response = await self(method, path, body)
        told = response.json()
        assert (response.status_code, told["code"]) == (503, "registry-unavailable"), told
        assert int(response.headers["retry-after"]) > 0
        assert self.took_seconds <= within(ANSWER_SECONDS + SLACK_SECONDS)

    async def until_it_works(self, method: str, path: str, body: Any) -> float:
        """How long it takes until a write is done again."""

        async def works() -> bool:
            response = await self(method, path, body)
            assert response.is_success or response.status_code == 503, response.text
            return bool(response.is_success)

        return await until(works)


async def until(holds: Callable[[], Awaitable[bool] | bool], within_seconds: float = HEALED_SECONDS) -> float:
    """Wait until something holds; how many seconds that took."""
    since = time.monotonic()
    while True:
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return time.monotonic() - since
        assert time.monotonic() - since < within(within_seconds + SLACK_SECONDS), "it does not come about"
        await asyncio.sleep(LOOK_SECONDS)


async def reads_are_served(callers: list[Caller], workspace: str) -> None:
    """Lists, single machines and the resolver."""
    for caller in callers:
        listed = await caller("GET", f"/api/machines?workspace={workspace}")
        assert listed.is_success, listed.text
        assert {machine["name"] for machine in listed.json()["machines"]} >= {"builder", "laptop"}
        assert all(machine["online"] for machine in listed.json()["machines"] if machine["name"] == "builder")
        found = await caller("GET", f"/api/resolve?q=builder&workspace={workspace}")
        assert found.is_success, found.text


async def impaired(url: str) -> list[str]:
    """What a ready node says that does not work."""
    async with httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["impaired"])


async def is_away(url: str) -> None:
    """A node has noticed that it cannot reach the registry."""

    async def says_so() -> bool:
        return await impaired(url) == ["registry-away"]

    await until(says_so)
