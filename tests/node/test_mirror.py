"""Shows that the mirror of revocations follows the table of changes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.errors import RegistryUnavailable, Unavailable
from relay.node.mirror import Mirror
from relay.registry import Change
from relay.store import Keys


class Store:
    """What Redis was told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[int, int, list[tuple[str, str]]]] = asyncio.Queue()
        self.refuses = 0
        self.refused = asyncio.Event()

    async def follow(self, since: int, upto: int, revoked: Sequence[tuple[str, str]]) -> list[int]:
        """Take a run of changes, or not."""
        if self.refuses:
            self.refuses -= 1
            self.refused.set()
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
    await store.refused.wait()
    mirror.changed([change(10, "member", "jane")])
    assert await store.told.get() == (8, 10, [])
    running.cancel()


class Machines:
    """A registry in which nobody is revoked, up to change 9."""

    async def revoked(self, since: int) -> SimpleNamespace:
        """All of it in one page."""
        return SimpleNamespace(machines=[], upto=9, more=False)


class PartlyAway(Store):
    """A Redis without the server of some shards, and without its memory."""

    def __init__(self, *away: int) -> None:
        super().__init__()
        self.away = frozenset(away)
        self.loaded: set[int] = set()
        self.late: list[int] = []
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.complete = asyncio.Event()

    async def behind(self, upto: int) -> list[int]:
        """Those that a failover took back."""
        self.asked.put_nowait(upto)
        return self.late

    async def upto(self, shard: int) -> int | None:
        """What a shard has; nobody answers for one that is away."""
        if shard in self.away:
            raise Unavailable("this shard is away")
        return 9 if shard in self.loaded else None

    async def load_all(self, revoked: object, upto: int) -> frozenset[int]:
        """All that are there are complete."""
        self.loaded = set(Keys().shards) - self.away
        self.complete.set()
        return self.away


def mirror_of(store: Store) -> Mirror:
    """A mirror of a registry in which nobody is revoked."""
    return Mirror(cast(Any, SimpleNamespace(machines=Machines())), cast(Any, store), Keys())


async def test_a_shard_is_loaded_although_others_are_away() -> None:
    store = PartlyAway(0, 1, 2)
    mirror = mirror_of(store)
    await mirror.load(63, 9)
    assert 63 in store.loaded
    with pytest.raises(Unavailable):
        await mirror.load(1, 9)


async def test_who_asks_for_a_shard_that_hangs_keeps_nobody_from_the_others() -> None:
    store, hangs = PartlyAway(), asyncio.Event()

    async def upto(shard: int) -> int | None:
        if shard == 1:
            await hangs.wait()
        return None

    mirror = mirror_of(store)
    store.upto = upto  # type: ignore[method-assign]
    waiting = asyncio.create_task(mirror.load(1, 9))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await mirror.load(63, 9)
    waiting.cancel()


async def test_changes_are_followed_while_a_shard_is_away_whose_mirror_is_to_be_loaded_whole() -> None:
    """That one is loaded when it is there again."""
    store = PartlyAway(1)
    mirror = mirror_of(store)
    running = asyncio.create_task(mirror.run())
    mirror.missed()
    mirror.changed([change(10, "machine-revoked", "mac")])
    assert await store.told.get() == (9, 10, [("acme", "mac")])
    assert store.loaded == set(Keys().shards) - {1}
    running.cancel()


async def test_who_waits_for_a_load_hears_that_the_registry_does_not_answer_and_does_not_ask_it_again() -> None:
    asked = 0
    asking, failing = asyncio.Event(), asyncio.Event()

    class Away(Machines):
        async def revoked(self, since: int) -> SimpleNamespace:
            nonlocal asked
            asked += 1
            asking.set()
            await failing.wait()
            raise RegistryUnavailable("the registry does not answer")

    store = PartlyAway()
    mirror = Mirror(cast(Any, SimpleNamespace(machines=Away())), cast(Any, store), Keys())
    loads = [asyncio.create_task(mirror.load(shard, 9)) for shard in range(50)]
    async with asyncio.timeout(10):
        await asking.wait()
        failing.set()
        outcomes = await asyncio.gather(*loads, return_exceptions=True)
        assert {type(each) for each in outcomes} == {RegistryUnavailable}
        assert asked == 1
        with pytest.raises(RegistryUnavailable):
            await mirror.load(1, 9)
    assert asked == 2  # who comes later asks anew


async def test_a_mirror_that_a_failover_took_back_is_made_complete_when_redis_is_back() -> None:
    """Its new primary had not heard of the latest revocation, and a node without the registry would let that one in."""
    store = PartlyAway()
    mirror = mirror_of(store)
    running = asyncio.create_task(mirror.run())
    mirror.changed([change(42, "machine-revoked", "mac")])
    await store.told.get()
    mirror.doubt()
    assert await store.asked.get() == 42
    assert store.loaded == set()
    store.late = [7]
    mirror.doubt()
    assert await store.asked.get() == 42
    async with asyncio.timeout(10):
        await store.complete.wait()
    assert store.loaded == set(Keys().shards)
    running.cancel()
