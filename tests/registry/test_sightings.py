"""Says when a mark counts: once per event, and never after a newer one."""

from __future__ import annotations

import asyncio

from relay.registry import Mark
from tests.registry.acme import Acme, mark


async def test_a_machine_that_was_never_seen_comes_online_once(acme: Acme) -> None:
    machine = (await acme.register(acme.jane, "mac")).machine.id
    online = mark(machine, 1_000, None)
    assert await acme.registry.machines.mark([online], acme.now_ms) == [machine]
    assert await acme.registry.machines.mark([online], acme.now_ms) == []
    stored = await acme.get(machine)
    assert (stored.last_seen_ms, stored.offline_reason) == (1_000, None)


async def test_a_hello_is_a_sighting_before_any_sweeper_tells_of_it(acme: Acme) -> None:
    """Were Redis to forget the machine right then, it must still count as one that was online."""
    machine = await acme.connect(acme.jane, "mac")
    assert (machine.last_seen_ms, machine.offline_reason) == (acme.now_ms, None)


async def test_an_offline_machine_is_told_of_once_however_often_the_mark_comes(acme: Acme) -> None:
    machine = await online_machine(acme)
    silent = mark(machine, 2_000, "silent")
    assert await acme.registry.machines.mark([silent, silent], acme.now_ms) == [machine]
    assert await acme.registry.machines.mark([silent], acme.now_ms) == []
    stored = await acme.get(machine)
    assert (stored.last_seen_ms, stored.offline_reason) == (2_000, "silent")


async def test_two_sweepers_with_the_same_marks_announce_each_machine_once(acme: Acme) -> None:
    ids = [(await acme.connect(acme.jane, f"m-{index}")).id for index in range(12)]
    await acme.registry.machines.mark([mark(id, 1_000, None) for id in ids], acme.now_ms)
    gone = [mark(id, 2_000, "silent") for id in ids]
    done = await asyncio.gather(
        acme.registry.machines.mark(gone, acme.now_ms), acme.registry.machines.mark(gone[::-1], acme.now_ms)
    )
    assert sorted(done[0] + done[1]) == sorted(ids)


async def test_a_late_mark_of_an_older_fence_changes_nothing(acme: Acme) -> None:
    machine = await online_machine(acme, fence="2:200:b")
    assert await acme.registry.machines.mark([mark(machine, 9_000, "dropped", "1:300:a")], acme.now_ms) == []
    assert await acme.registry.machines.mark([mark(machine, 9_000, "dropped", "2:199:a")], acme.now_ms) == []
    assert (await acme.get(machine)).offline_reason is None


async def test_a_newer_fence_counts_even_if_its_clock_is_behind(acme: Acme) -> None:
    machine = await online_machine(acme, fence="2:200:b")
    assert await acme.registry.machines.mark([mark(machine, 500, "closed", "2:201:c")], acme.now_ms) == [machine]
    assert (await acme.get(machine)).last_seen_ms == 500


async def test_coming_back_under_the_same_fence_counts_and_an_older_departure_does_not(acme: Acme) -> None:
    machine = await online_machine(acme)
    silent, back = mark(machine, 1_000, "silent"), mark(machine, 200_000, None)
    assert await acme.registry.machines.mark([silent], acme.now_ms) == [machine]
    assert await acme.registry.machines.mark([back], acme.now_ms) == [machine]
    assert await acme.registry.machines.mark([silent], acme.now_ms) == []
    assert (await acme.get(machine)).offline_reason is None


async def test_a_repeated_online_does_not_undo_an_offline_of_the_same_moment(acme: Acme) -> None:
    """Who was last heard at t and is offline by now was online at t: the two arrive in any order."""
    machine = await online_machine(acme)
    online, silent = mark(machine, 2_000, None), mark(machine, 2_000, "silent")
    for batch in ([silent, online], [online], [mark(machine, 2_000, "node-lost")]):
        await acme.registry.machines.mark(batch, acme.now_ms)
        assert (await acme.get(machine)).offline_reason == "silent"


async def test_who_was_offline_is_told_by_id_for_one_workspace(acme: Acme) -> None:
    assert await acme.registry.machines.offline(acme.id) == set()
    new = (await acme.register(acme.jane, "new")).machine.id
    there, left, gone = [(await acme.connect(acme.jane, name)).id for name in ("there", "left", "gone")]
    silent = [mark(id, acme.later(), "silent") for id in (left, gone)]
    await acme.registry.machines.mark([mark(there, acme.now_ms, None), *silent], acme.now_ms)
    await acme.registry.machines.revoke(gone, acme.as_jane, acme.later())
    assert await acme.registry.machines.offline(acme.id) == {new, left}
    assert await acme.registry.machines.offline("another") == set()


async def test_marks_of_revoked_and_unknown_machines_are_left_out(acme: Acme) -> None:
    kept, gone = await online_machine(acme), (await acme.connect(acme.jane, "gone")).id
    await acme.registry.machines.revoke(gone, acme.as_jane, acme.later())
    batch = [mark(id, 9_000, "closed") for id in (gone, "nobody", kept)]
    assert await acme.registry.machines.mark(batch, acme.now_ms) == [kept]
    assert await acme.registry.machines.mark([], acme.now_ms) == []


async def test_a_batch_larger_than_one_statement_takes_is_stored_whole(acme: Acme) -> None:
    machine = await online_machine(acme)
    many = [Mark(f"nobody-{index}", 1, None, "1:1:a") for index in range(1_200)]
    assert await acme.registry.machines.mark([*many, mark(machine, 9_000, "closed")], acme.now_ms) == [machine]


async def online_machine(acme: Acme, fence: str = "1:100:a") -> str:
    """A machine that was seen once."""
    machine = await acme.connect(acme.jane, "mac")
    await acme.registry.machines.mark([mark(machine.id, 1_000, None, fence)], acme.now_ms)
    return machine.id
