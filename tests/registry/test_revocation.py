"""Says what a revocation takes away, and what Redis's mirror is told of it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.errors import MachineRevoked, NotFound
from tests.registry.acme import Acme


async def test_a_revoked_machine_leaves_lists_frees_its_name_and_cannot_settle(acme: Acme) -> None:
    asked = await acme.register(acme.jane, "mac")
    done = await acme.registry.machines.revoke(asked.machine.id, acme.as_jane, acme.later())
    assert (done.machine, done.workspace, done.revoked_ms, done.first) == (
        asked.machine.id,
        acme.id,
        acme.now_ms,
        True,
    )
    assert await acme.registry.machines.list([acme.id]) == []
    with pytest.raises(MachineRevoked):
        await acme.hello(asked)
    assert (await acme.register(acme.jane, "mac")).created


async def test_revoking_twice_answers_the_same_and_tells_nobody_again(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    first = await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    before = await acme.registry.changes.latest()
    again = await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    assert (again.revoked_ms, again.number, again.first) == (first.revoked_ms, first.number, False)
    assert await acme.registry.changes.latest() == before


async def test_revoking_at_once_is_one_revocation(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    done = await asyncio.gather(
        *[acme.registry.machines.revoke(machine.id, acme.as_jane, acme.now_ms) for _ in range(4)]
    )
    assert sum(one.first for one in done) == 1
    assert len({one.number for one in done}) == 1


async def test_an_unknown_machine_cannot_be_revoked(acme: Acme) -> None:
    with pytest.raises(NotFound):
        await acme.registry.machines.revoke(str(uuid4()), acme.as_jane, acme.later())


async def test_a_revoked_machine_is_found_by_none_of_its_former_names(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    await acme.registry.machines.rename(machine.id, "studio", acme.as_jane, acme.later())
    await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    assert await acme.registry.machines.former(acme.id, acme.now_ms) == {}


async def test_the_mirror_is_told_every_revocation_once_in_order(acme: Acme) -> None:
    ids = [(await acme.connect(acme.jane, name)).id for name in ("a", "b", "c")]
    nothing = await acme.registry.machines.revoked(0)
    assert (nothing.machines, nothing.upto, nothing.more) == ([], await acme.registry.changes.latest(), False)
    numbers = [
        (await acme.registry.machines.revoke(id, acme.as_jane, acme.later())).number for id in (ids[2], ids[0], ids[1])
    ]
    first = await acme.registry.machines.revoked(nothing.upto, limit=2)
    assert [(one.id, one.workspace, one.number) for one in first.machines] == [
        (ids[2], acme.id, numbers[0]),
        (ids[0], acme.id, numbers[1]),
    ]
    assert (first.upto, first.more) == (numbers[1], True)
    rest = await acme.registry.machines.revoked(first.upto, limit=2)
    assert [one.id for one in rest.machines] == [ids[1]]
    assert (rest.upto, rest.more) == (await acme.registry.changes.latest(), False)


async def test_a_revocations_number_is_the_number_of_its_change(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    done = await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    (change,) = [one for one in await acme.registry.changes.since(0) if one.kind == "machine-revoked"]
    assert (change.number, change.subject, change.workspace) == (done.number, machine.id, acme.id)


async def test_a_machine_that_was_revoked_comes_back_only_when_asked_to_and_as_a_new_one(acme: Acme) -> None:
    first = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())))
    await acme.registry.machines.revoke(first.id, acme.as_jane, acme.later())
    for who in (acme.jane, await acme.key()):
        with pytest.raises(MachineRevoked):
            await acme.register(who, "mac", instance=instance)
    again = await acme.register(acme.jane, "mac", instance=instance, again=True)
    assert again.created
    assert again.machine.id != first.id
    assert not (await acme.register(acme.jane, "mac", instance=instance)).created, "it is no longer revoked"


async def test_every_installation_that_a_revoked_machine_ever_was_is_refused(acme: Acme) -> None:
    first, second, third = (str(uuid4()) for _ in range(3))
    machine = await acme.connect(acme.jane, "mac", instance=first)
    acme.leave(machine.id)
    assert (await acme.connect(acme.jane, "mac", instance=second)).id == machine.id
    acme.leave(machine.id)
    assert (await acme.register(acme.jane, "mac", instance=third)).machine.id == machine.id
    await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    for instance in (first, second, third):
        with pytest.raises(MachineRevoked):
            await acme.register(acme.jane, "other", instance=instance)


async def test_an_installation_that_is_another_machine_by_now_is_not_refused(acme: Acme) -> None:
    mine = str(uuid4())
    machine = await acme.connect(acme.jane, "mac", instance=mine)
    acme.leave(machine.id)
    await acme.connect(acme.jane, "mac")  # another installation is this machine now
    mover = await acme.connect(acme.jane, "other", instance=mine)
    assert mover.id != machine.id
    await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    assert (await acme.connect(acme.jane, "other", instance=mine)).id == mover.id
    await acme.registry.machines.leave(acme.id, mover.id, acme.later())
    assert (await acme.register(acme.jane, "other", instance=mine)).created


async def test_an_ephemeral_machine_that_left_may_come_back_unasked(acme: Acme) -> None:
    key = await acme.key()
    first = await acme.connect(key, "runner", instance=(instance := str(uuid4())), ephemeral=True)
    assert first.ephemeral
    await acme.registry.machines.leave(acme.id, first.id, acme.later())
    again = await acme.connect(key, "runner", instance=instance, ephemeral=True)
    assert again.id != first.id
