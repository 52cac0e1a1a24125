"""Shows that machines which Redis forgot are put back, also by a node whose registry is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from relay.errors import Close, RegistryUnavailable, Unavailable
from relay.node.agent import Agent
from relay.node.beats import Beats
from relay.node.hub import Hub
from relay.node.meters import Meters
from relay.rules.presence import Fence, Info
from relay.store import Beat, Flushed, Keys, Lost, Reannouncement
from relay.store.heartbeats import UNCHECKED

UPTO = 7


class Forgetful:
    """A Redis that was flushed, of which some shards may be away, and that took one machine for somebody else."""

    def __init__(self, *away: int) -> None:
        self.away = frozenset(away)
        self.back: list[tuple[int, str]] = []
        self.told: list[tuple[str, int]] = []
        self.replaced = ""
        self.shard = Keys().shard

    async def beat(self, node: str, beats: Iterable[Beat]) -> Flushed:
        """It knows none of them."""
        lost = []
        for beat in beats:
            self.told.append((beat.machine, beat.age_ms))
            if self.shard(beat.workspace) in self.away:
                continue
            theirs = Fence(1, 8, "theirs")
            lost += [
                Lost(beat.workspace, beat.machine, "replaced", theirs)
                if beat.machine == self.replaced
                else Lost(beat.workspace, beat.machine, "unknown", beat.fence)
            ]
        return Flushed(lost, self.away)

    async def reannounce(self, node: str, upto: int, machines: Sequence[Reannouncement]) -> list[Lost]:
        """Note who comes back, and up to where the mirror was made complete for it."""
        self.back += [(upto, machine.machine) for machine in machines]
        return []


class Socket:
    """Notes with what it was closed."""

    def __init__(self) -> None:
        self.closed: list[Close] = []

    def close(self, code: Close) -> None:
        """The other side is told."""
        self.closed.append(code)


def connect(hub: Hub, machine: str, workspace: str) -> Agent:
    """A machine that was heard a while ago and not told of."""
    agent = Agent(cast(Any, Socket()), workspace, machine, cast(Any, None), 1.0)
    agent.fence, agent.heard = Fence(1, 7, "c"), 2.0
    hub.agents[machine] = agent
    return agent


@pytest.mark.parametrize(("away", "upto"), [(False, UPTO), (True, UNCHECKED)])
async def test_machines_are_put_back_with_the_mirror_made_complete_if_that_can_be(away: bool, upto: int) -> None:
    async def load(workspace: str) -> int:
        if away:
            raise RegistryUnavailable("the registry does not answer")
        return UPTO

    hub, redis, machine = Hub(), Forgetful(), str(uuid4())
    connect(hub, machine, "workspace")
    await Beats("boot", hub, cast(Any, redis), lambda agent: Info(), load, Meters(CollectorRegistry())).flush()
    assert redis.back == [(upto, machine)]


async def test_shards_that_are_away_wait_for_the_next_flush_and_the_others_are_healed() -> None:
    shard = Keys().shard
    redis, hub = Forgetful(shard("gone"), shard("unloadable")), Hub()
    absent, here, taken = (connect(hub, str(uuid4()), workspace) for workspace in ("gone", "here", "here"))
    redis.replaced = taken.machine

    async def load(workspace: str) -> int:
        if workspace == "unloadable":
            raise Unavailable("this shard has gone since")
        return UPTO

    beats = Beats("boot", hub, cast(Any, redis), lambda agent: Info(), load, Meters(CollectorRegistry()))
    await beats.flush()
    assert beats.away == redis.away
    assert beats.flushed_at is not None
    assert redis.back == [(UPTO, here.machine)]
    assert cast(Any, taken.socket).closed == [Close.DRAINING]
    redis.told.clear()
    redis.away = frozenset({shard("unloadable")})
    lost_again = connect(hub, str(uuid4()), "unloadable")
    await beats.flush()
    assert {machine for machine, _ in redis.told} == {absent.machine, lost_again.machine}
    assert redis.back[1:] == [(UPTO, absent.machine)]


async def test_machines_whose_mirror_cannot_be_loaded_keep_no_others_from_coming_back() -> None:
    redis, hub = Forgetful(), Hub()
    _, here = connect(hub, str(uuid4()), "unloadable"), connect(hub, str(uuid4()), "here")

    async def load(workspace: str) -> int:
        if workspace == "unloadable":
            raise Unavailable("this shard has gone since")
        return UPTO

    await Beats("boot", hub, cast(Any, redis), lambda agent: Info(), load, Meters(CollectorRegistry())).flush()
    assert redis.back == [(UPTO, here.machine)]


async def test_flushes_keep_their_rhythm_however_long_one_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of a Redis Cluster that hangs makes each of them take long, and silence in all other shards would prove
    nothing for as long."""
    loop, waited = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + waited)
    monkeypatch.setattr("relay.node.beats.FLUSH_SECONDS", 3_600.0)

    class Slow(Forgetful):
        async def beat(self, node: str, beats: Iterable[Beat]) -> Flushed:
            nonlocal waited
            waited += 3_600.0
            return Flushed([], self.away)

    async def load(workspace: str) -> int:
        return UPTO

    beats = Beats("boot", Hub(), cast(Any, Slow()), lambda agent: Info(), load, Meters(CollectorRegistry()))
    running = asyncio.create_task(beats.run())
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert waited > 2 * 3_600.0


async def test_machines_that_are_put_back_hold_up_no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror is loaded from a registry that may hang for seconds."""
    monkeypatch.setattr("relay.node.beats.FLUSH_SECONDS", 0.0)
    redis, hub, loading, answers = Forgetful(), Hub(), asyncio.Event(), asyncio.Event()
    back = connect(hub, str(uuid4()), "first")

    async def load(workspace: str) -> int:
        loading.set()
        await answers.wait()
        return UPTO

    beats = Beats("boot", hub, cast(Any, redis), lambda agent: Info(), load, Meters(CollectorRegistry()))
    running = asyncio.create_task(beats.run())
    async with asyncio.timeout(10):
        await loading.wait()
        later = connect(hub, str(uuid4()), "second")
        while later.machine not in {machine for machine, _ in redis.told}:  # noqa: ASYNC110 - it takes a few turns
            await asyncio.sleep(0)
        assert redis.back == []
        answers.set()
        while not redis.back:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert redis.back[0] == (UPTO, back.machine)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
