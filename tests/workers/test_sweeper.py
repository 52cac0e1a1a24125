"""Checks that the registry learns who left and who came back, once, whoever sweeps and whatever fails."""

from __future__ import annotations

import asyncio

import pytest

from relay.errors import Unavailable
from relay.registry import Mark
from relay.store import Lease
from relay.store.promptness import NODES_FIRST_SECONDS
from tests.store.cluster import NODE
from tests.store.listening import listening
from tests.store.test_deadlines import listen_to
from tests.workers.fleet import Fleet
from workers.sweeper import Round


async def test_a_machine_that_joined_is_online_in_the_registry_and_one_that_left_is_not(fleet: Fleet) -> None:
    machine, fence = await fleet.join("prod")
    sweeper = fleet.sweeper()
    await sweeper.round([fleet.shard])
    row = await fleet.row(machine)
    assert (row.offline_reason, row.last_seen_ms) == (None, (await fleet.record(machine)).heard_ms)

    await fleet.presence.goodbye(fleet.workspace, machine, fence)
    await sweeper.round([fleet.shard])
    row = await fleet.row(machine)
    assert (row.offline_reason, row.last_seen_ms) == ("closed", (await fleet.record(machine)).heard_ms)
    await fleet.later(11)  # an unconfirmed claim would be claimed again by now
    assert await sweeper.round([fleet.shard]) == Round(0, 0, 0, False)


async def test_silence_reaches_the_registry_dated_by_when_the_machine_was_heard(fleet: Fleet) -> None:
    machine, _ = await fleet.join("prod")
    await fleet.sweeper().round([fleet.shard])
    heard = (await fleet.record(machine)).heard_ms
    await fleet.later(85)
    await fleet.lease(NODE)
    await fleet.later(6)
    await fleet.sweeper().round([fleet.shard])
    row = await fleet.row(machine)
    assert (row.offline_reason, row.last_seen_ms) == ("silent", heard)


async def test_two_sweepers_tell_the_registry_of_each_machine_once(fleet: Fleet) -> None:
    joined = [await fleet.join(f"prod-{number}") for number in range(12)]
    await fleet.sweeper().round([fleet.shard])
    await fleet.later(91)
    rounds = await asyncio.gather(*(fleet.sweeper().round([fleet.shard]) for _ in range(2)))
    assert sum(done.offline for done in rounds) == len(joined)
    assert {(await fleet.row(machine)).offline_reason for machine, _ in joined} == {"node-lost"}


async def test_a_registry_that_does_not_answer_delays_the_sweep_and_loses_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, fence = await fleet.join("prod")
    sweeper = fleet.sweeper()

    async def fail(marks: list[Mark], now_ms: int) -> list[str]:
        raise Unavailable("the registry does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(fleet.registry.machines, "mark", fail)
        with pytest.raises(Unavailable):
            await sweeper.round([fleet.shard])
    await fleet.presence.goodbye(fleet.workspace, machine, fence)
    await fleet.later(11)
    await sweeper.round([fleet.shard])
    assert (await fleet.row(machine)).offline_reason == "closed"


async def test_the_registry_is_told_of_all_that_was_claimed_although_redis_goes_away_meanwhile(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once more when Redis is back, which changes nothing."""
    monkeypatch.setattr("workers.sweeper.BATCH_IDS", 1)
    joined = [(await fleet.join(name))[0] for name in ("first", "second")]
    sweeper = fleet.sweeper()

    async def fail(claimed: object) -> None:
        raise Unavailable("Redis is away")

    monkeypatch.setattr(sweeper._claims, "confirm", fail)
    assert (await sweeper.round([fleet.shard])).online == 2
    for machine in joined:
        assert (await fleet.row(machine)).last_seen_ms == (await fleet.record(machine)).heard_ms


async def test_when_redis_is_back_nodes_say_first_whom_they_turned_away(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper, steps, enough = fleet.sweeper(), list[str](), asyncio.Event()

    async def sweep(shards: object) -> Round:
        steps.append("sweeps")
        if len(steps) == 1:
            raise Unavailable("Redis is away")
        enough.set()
        return Round(0, 0, 0, False)

    async def look() -> list[Lease]:
        steps.append("looks")
        if steps.count("looks") == 1:
            raise Unavailable("Redis is away")
        return []

    async def sleep(seconds: float) -> None:
        if asyncio.current_task() is not sweeping:  # everybody's `asyncio.sleep` is this one
            await wait(seconds)
            return
        steps.append(f"waits {seconds:g}")
        await wait(0)

    wait = asyncio.sleep
    monkeypatch.setattr(sweeper, "round", sweep)
    monkeypatch.setattr(sweeper._leases, "live", look)
    monkeypatch.setattr("workers.sweeper.asyncio.sleep", sleep)
    sweeping = asyncio.create_task(sweeper.run([fleet.shard]))
    async with asyncio.timeout(10):
        await enough.wait()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    between, first = f"waits {sweeper.every_seconds:g}", f"waits {NODES_FIRST_SECONDS:g}"
    assert steps[:6] == ["sweeps", between, "looks", between, "looks", first]
    assert steps[6] == "sweeps"


async def test_a_server_that_went_away_while_others_were_asked_takes_nobody_when_it_is_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sweeper asks before nodes could say whom they turned away is only whether it is there."""
    machine, fence = await fleet.join("prod")
    sweeper = fleet.sweeper()
    await sweeper.round([fleet.shard])
    await fleet.presence.goodbye(fleet.workspace, machine, fence)
    sweeper._claims._promptness.lost([fleet.shard])
    assert (await sweeper.round([fleet.shard])).offline == 0
    monkeypatch.setattr("relay.store.promptness.NODES_FIRST_SECONDS", 0.0)
    sweeper._claims._promptness.lost([fleet.shard])
    assert (await sweeper.round([fleet.shard])).offline == 1


async def test_one_machine_that_cannot_be_marked_does_not_stop_the_line(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = [(await fleet.join(name))[0] for name in ("bad", "good")]
    mark = fleet.registry.machines.mark

    async def choose(marks: list[Mark], now_ms: int) -> list[str]:
        if any(each.machine == bad for each in marks):
            raise ValueError("this row is broken")
        return await mark(marks, now_ms)

    monkeypatch.setattr(fleet.registry.machines, "mark", choose)
    await fleet.sweeper().round([fleet.shard])
    assert (await fleet.row(good)).last_seen_ms == (await fleet.record(good)).heard_ms
    assert (await fleet.row(bad)).last_seen_ms != (await fleet.record(bad)).heard_ms
    monkeypatch.undo()
    await fleet.later(11)
    await fleet.sweeper().round([fleet.shard])
    assert (await fleet.row(bad)).last_seen_ms == (await fleet.record(bad)).heard_ms


async def test_a_machine_that_redis_forgot_and_that_never_came_back_is_announced(fleet: Fleet) -> None:
    """Redis was flushed in the very moment in which the machine's power failed: no record is left to sweep."""
    machine, _ = await fleet.join("gone")
    present, fence = await fleet.join("present")
    sweeper = fleet.sweeper()
    await sweeper.round([fleet.shard])
    seen = (await fleet.row(machine)).last_seen_ms
    fleet.valkey.empty() if fleet.valkey else None
    await fleet.revocations.load(fleet.shard, [], 0)
    await fleet.flush()
    await fleet.reannounce((present, fence))
    assert await sweeper.round([fleet.shard]) == Round(0, 0, 0, False)  # unsettled: nothing is proved
    await fleet.later(31, (present, fence))
    assert fleet.valkey is not None
    async with listening(fleet.valkey.url, fleet.keys) as bus:
        heard = await listen_to(bus, fleet)
        done = await sweeper.round([fleet.shard])
        assert (done.offline, done.lost) == (1, 1)
        assert await heard.until(lambda machines: len(machines) == 1) == [machine]
    row = await fleet.row(machine)
    assert (row.offline_reason, row.last_seen_ms) == ("silent", seen)
    assert (await fleet.row(present)).offline_reason is None
    assert (await sweeper.round([fleet.shard])).lost == 0


async def test_a_machine_in_the_middle_of_its_hello_is_not_taken_for_one_that_redis_forgot(fleet: Fleet) -> None:
    """The registry knows of it, and Redis is about to; if that never happens, it was silent for as long as anybody."""
    registration = await fleet.acme.register(fleet.acme.jane, "joining")
    machine = registration.machine.id
    await fleet.registry.machines.settle(machine, registration.token_version, fleet.acme.later())
    sweeper = fleet.sweeper()
    assert await sweeper.round([fleet.shard]) == Round(0, 0, 0, False)
    assert (await fleet.row(machine)).offline_reason is None
    fleet.acme.later(90_000)
    assert (await sweeper.round([fleet.shard])).lost == 1
    assert (await fleet.row(machine)).offline_reason == "silent"


async def test_a_sweeper_that_tells_the_older_thing_last_is_corrected(fleet: Fleet) -> None:
    machine, fence = await fleet.join("prod")
    sweeper = fleet.sweeper()
    await sweeper.round([fleet.shard])
    await fleet.later(91)
    slow = await fleet.sweep()  # has claimed `offline`, and thinks
    await fleet.flush((machine, fence))
    await sweeper.round([fleet.shard])
    marks = [Mark(each.machine, each.heard_ms, each.reason, each.fence.text) for each in slow]
    assert await fleet.registry.machines.mark(marks, fleet.acme.now_ms) == []
    await fleet.claims.confirm(slow)
    assert (await fleet.row(machine)).offline_reason is None


async def test_a_revoked_machine_is_no_concern_of_the_sweeper(fleet: Fleet) -> None:
    machine, fence = await fleet.join("prod")
    await fleet.sweeper().round([fleet.shard])
    done = await fleet.registry.machines.revoke(machine, fleet.acme.as_jane, fleet.acme.later())
    await fleet.revoke(machine, done.number)
    await fleet.presence.forget(fleet.workspace, machine)
    assert [lost.reason for lost in await fleet.flush((machine, fence))] == ["revoked"]
    await fleet.later(91)
    assert await fleet.sweeper().round([fleet.shard]) == Round(0, 0, 0, False)
