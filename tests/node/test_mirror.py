"""Shows that the mirror of revocations follows the table of changes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from relay.errors import Unavailable
from relay.node.mirror import Mirror
from relay.registry import Change
from relay.store import Keys


class Store:
    """What Redis was told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[int, int, list[tuple[str, str]]]] = asyncio.Queue()
        self.refuses = 0

    async def follow(self, since: int, upto: int, revoked: Sequence[tuple[str, str]]) -> list[int]:
        """Take a run of changes, or not."""
        if self.refuses:
            self.refuses -= 1
            raise Unavailable("Redis is away")
        self.told.put_nowait((since, upto, list(revoked)))
        return []


def change(number: int, kind: Any, subject: str) -> Change:
    """One change in the workspace "acme"."""
    return Change(number=number, kind=kind, workspace="acme", subject=subject, detail={})


async def test_changes_reach_the_mirror_so_that_no_handshake_has_to_load_it() -> None:
    """Also what Redis did not take when it was told first."""
    store = Store()
    mirror = Mirror(cast(Any, SimpleNamespace(machines=None)), cast(Any, store), Keys())
    running = asyncio.create_task(mirror.run())
    mirror.changed([change(7, "member", "jane"), change(8, "machine-revoked", "mac")])
    assert await store.told.get() == (6, 8, [("acme", "mac")])
    store.refuses = 1
    mirror.changed([change(9, "member", "jane")])
    await asyncio.sleep(0.01)
    mirror.changed([change(10, "member", "jane")])
    assert await store.told.get() == (8, 10, [])
    running.cancel()
