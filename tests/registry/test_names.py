"""Says who holds a name after registrations, takeovers, renames, moves and departures."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.errors import Conflict, Forbidden, NameTaken
from relay.registry import NewMachine, Registration, Registry
from tests.registry.acme import DAY_MS, Acme


async def test_a_new_machine_holds_a_free_name_from_its_registration_on(acme: Acme) -> None:
    done = await acme.register(acme.jane, "mac-studio", visibility="SHARED", labels={"os": "linux"})
    assert (done.created, done.token_version) == (True, 1)
    machine = await acme.get(done.machine.id)
    assert machine == done.machine
    assert (machine.name, machine.hostname, machine.version) == ("mac-studio", "mac-studio.local", "1.0.0")
    assert (machine.workspace, machine.workspace_name, machine.labels) == (acme.id, "acme", {"os": "linux"})
    assert machine.name_held
    assert machine.name_chosen
    assert machine.owner is not None
    assert (machine.owner.id, machine.owner.name) == (acme.owner.id, "Jane")


async def test_a_person_registers_private_machines_and_a_key_shared_ones_of_nobody(acme: Acme) -> None:
    mine, fleet = await acme.register(acme.jane, "a"), await acme.register(await acme.key(), "b")
    assert (mine.machine.visibility, fleet.machine.visibility, fleet.machine.owner) == ("PRIVATE", "SHARED", None)


async def test_a_key_cannot_register_a_private_machine(acme: Acme) -> None:
    key = await acme.key()
    with pytest.raises(Conflict):
        await acme.register(key, "a", visibility="PRIVATE")


async def test_a_machine_without_a_name_is_called_after_its_hostname(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, hostname="Bmw.local")
    assert (machine.name, machine.name_chosen) == ("Bmw", False)


async def test_the_same_installation_stays_the_same_machine_with_a_higher_token_version(acme: Acme) -> None:
    first = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())))
    again = await acme.register(acme.jane, "mac", instance=instance)
    assert (again.created, again.machine.id, again.token_version) == (False, first.id, 2)


async def test_a_reinstalled_machine_keeps_its_id_if_the_holder_of_the_name_is_offline(acme: Acme) -> None:
    first = await acme.connect(acme.jane, "mac")
    acme.leave(first.id)
    again = await acme.register(acme.jane, "MAC")
    assert (again.created, again.machine.id, again.token_version) == (False, first.id, 2)


async def test_a_machine_that_its_owner_shared_is_found_again_by_a_reinstall_that_does_not_say_so(acme: Acme) -> None:
    first = await acme.connect(acme.jane, "mac", visibility="SHARED")
    acme.leave(first.id)
    again = await acme.connect(acme.jane, "mac")
    assert (again.id, again.visibility) == (first.id, "SHARED")


async def test_nothing_of_an_existing_machine_changes_before_hello(acme: Acme) -> None:
    before = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())))
    asked = await acme.register(
        acme.jane, "studio", instance=instance, hostname="new", version="2", labels={"a": "b"}, visibility="SHARED"
    )
    assert (asked.machine.name, asked.machine.hostname, asked.machine.visibility) == ("studio", "new", "SHARED")
    stored = await acme.get(before.id)
    assert (stored.name, stored.hostname, stored.version, stored.labels) == ("mac", "mac.local", "1.0.0", {})
    after = (await acme.hello(asked)).machine
    assert (after.name, after.hostname, after.version, after.labels) == ("studio", "new", "2", {"a": "b"})
    assert (after.visibility, after.name_held) == ("SHARED", True)


async def test_labels_that_are_not_told_stay(acme: Acme) -> None:
    await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())), labels={"a": "b"})
    assert (await acme.connect(acme.jane, "mac", instance=instance)).labels == {"a": "b"}


async def test_a_newcomer_takes_the_name_of_an_online_machine_at_its_hello_and_not_before(acme: Acme) -> None:
    older = await acme.connect(acme.jane, "prod")
    newcomer = await acme.register(acme.jane, "prod")
    assert newcomer.created
    assert newcomer.machine.id != older.id
    assert await acme.holders("prod") == [older.id]
    before = await acme.registry.changes.latest()

    settled = await acme.hello(newcomer)

    assert await acme.holders("prod") == [newcomer.machine.id]
    assert settled.machine.name_held
    assert settled.shadowed is not None
    assert (settled.shadowed.id, settled.shadowed.name_held) == (older.id, False)
    assert settled.shadowed.shadowed_by == newcomer.machine.id
    assert await acme.actions(since=before) == [("machine", "shadowed"), ("machine", "changed")]
    assert (await acme.trail(acme.owner.id))[0] == "name.taken-over"
    assert "name.taken-over" not in await acme.trail(None), "both are PRIVATE: nobody but Jane may read of it"


async def test_settling_twice_or_with_an_older_version_changes_nothing(acme: Acme) -> None:
    instance = str(uuid4())
    first = await acme.register(acme.jane, "one", instance=instance)
    second = await acme.register(acme.jane, "two", instance=instance)
    assert (await acme.hello(second)).machine.name == "two"
    before = await acme.registry.changes.latest()
    assert (await acme.hello(second)).shadowed is None
    assert (await acme.hello(first)).machine.name == "two"
    assert await acme.registry.changes.latest() == before


async def test_a_version_that_was_never_given_out_settles_nothing(acme: Acme) -> None:
    done = await acme.register(acme.jane, "one")
    await acme.registry.machines.settle(done.machine.id, 9, acme.later())
    again = await acme.register(acme.jane, "two", instance=done.machine.instance)
    assert (await acme.hello(again)).machine.name == "two"


async def test_of_two_newcomers_the_one_who_registered_last_has_the_name_whoever_says_hello_first(acme: Acme) -> None:
    await acme.connect(acme.jane, "prod")
    first, second = await acme.register(acme.jane, "prod"), await acme.register(acme.jane, "prod")
    await acme.hello(second)
    late = (await acme.hello(first)).machine
    assert await acme.holders("prod") == [second.machine.id]
    assert (late.name_held, late.shadowed_by) == (False, second.machine.id)


async def test_a_takeover_shadows_those_who_had_lost_the_name_before_too(acme: Acme) -> None:
    first, second, third = [await acme.connect(acme.jane, "prod") for _ in range(3)]
    assert (await acme.get(first.id)).shadowed_by == third.id
    assert (await acme.get(second.id)).shadowed_by == third.id


async def test_a_name_that_becomes_free_returns_to_the_newest_who_lost_it(acme: Acme) -> None:
    first, second, third = [await acme.connect(acme.jane, "prod") for _ in range(3)]
    await acme.registry.machines.revoke(third.id, acme.as_jane, acme.later())
    assert await acme.holders("prod") == [second.id]
    assert (await acme.get(second.id)).shadowed_by is None
    assert (await acme.get(first.id)).shadowed_by == second.id
    await acme.registry.machines.rename(second.id, "other", acme.as_jane, acme.later())
    assert await acme.holders("prod") == [first.id]


async def test_a_workspace_may_refuse_takeovers_from_machines_that_are_online(acme: Acme) -> None:
    await acme.registry.workspaces.update(acme.id, acme.as_jane, acme.later(), takeover="refuse-online")
    older = await acme.connect(acme.jane, "prod")
    with pytest.raises(NameTaken):
        await acme.register(acme.jane, "prod")
    acme.leave(older.id)
    assert (await acme.connect(acme.jane, "prod")).id == older.id


async def test_a_name_that_the_credential_may_not_manage_is_taken(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    holder = await acme.connect(acme.jane, "prod", visibility="SHARED")
    for online in (True, False):
        if not online:
            acme.leave(holder.id)
        with pytest.raises(NameTaken):
            await acme.register(bob, "prod", visibility="SHARED")
    assert await acme.holders("prod") == [holder.id]


async def test_a_private_name_of_somebody_else_neither_blocks_nor_leaks(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    hers, his = await acme.connect(acme.jane, "mac"), await acme.connect(bob, "mac")
    shared = await acme.connect(await acme.key(), "mac")
    assert len({hers.id, his.id, shared.id}) == 3
    assert sorted(await acme.holders("mac")) == sorted([hers.id, his.id, shared.id])


async def test_a_key_takes_over_from_machines_of_other_keys(acme: Acme) -> None:
    first = await acme.connect(await acme.key("old"), "runner")
    acme.leave(first.id)
    newer = await acme.key("new")
    again = await acme.connect(newer, "runner")
    assert (again.id, again.key) == (first.id, newer.id)


async def test_a_registrar_who_lost_the_right_in_between_takes_no_name(acme: Acme) -> None:
    bob = await acme.invite("Bob", "admin")
    older = await acme.connect(acme.jane, "prod", visibility="SHARED")
    newcomer = await acme.register(bob, "prod", visibility="SHARED")
    await acme.registry.members.set_role(acme.id, bob.id, "member", acme.as_jane, acme.later())
    late = (await acme.hello(newcomer)).machine
    assert await acme.holders("prod") == [older.id]
    assert late.shadowed_by == older.id


async def test_somebody_who_left_or_only_watches_registers_nothing(acme: Acme) -> None:
    """A node's cache may still know the member; the transaction looks again."""
    gone, viewer = await acme.invite("Gone"), await acme.invite("Viv", "viewer")
    await acme.registry.members.remove(acme.id, gone.id, acme.as_jane, acme.later())
    for who in (gone, viewer):
        with pytest.raises(Forbidden):
            await acme.register(who, "mac")


async def test_a_revoked_key_registers_nothing(acme: Acme) -> None:
    key = await acme.key()
    await acme.registry.keys.revoke(acme.id, key.id, acme.as_jane, acme.later())
    with pytest.raises(Forbidden):
        await acme.register(key, "mac")


async def test_two_registrations_of_one_name_at_once_give_one_holder(acme: Acme) -> None:
    done = await asyncio.gather(*[acme.register(acme.jane, "prod") for _ in range(8)])
    assert len(await acme.holders("prod")) == 1
    assert sorted(found.token_version for found in done) == list(range(1, 9)), "offline: each newcomer is that machine"
    assert sum(found.created for found in done) == 1


async def test_two_registrations_from_two_nodes_at_once_give_one_holder(url: str, acme: Acme) -> None:
    """Two processes share nothing but the database."""
    other = await Registry.open(url)

    async def register(index: int) -> Registration:
        registry = other if index % 2 else acme.registry
        new = NewMachine(name="prod", hostname=f"host-{index}", version="1", instance=str(uuid4()))
        return await registry.machines.register(acme.id, acme.jane, new, lambda _: asyncio.sleep(0, True), acme.now_ms)

    done = await asyncio.gather(*[register(index) for index in range(8)])
    assert len(await acme.holders("prod")) == 1
    assert all(found.created for found in done), "whoever holds the name is online: each is a machine of its own"
    await asyncio.gather(*[acme.hello(found) for found in done])
    assert len(await acme.holders("prod")) == 1
    await other.close()


async def test_presence_is_asked_again_if_the_name_passed_on_meanwhile(acme: Acme) -> None:
    first = await acme.connect(acme.jane, "prod")
    asked: list[str] = []

    async def is_online(machine: str) -> bool:
        asked.append(machine)
        if machine == first.id:
            await acme.registry.machines.revoke(first.id, acme.as_jane, acme.later())
            await acme.connect(acme.jane, "prod")
        return True

    new = NewMachine(name="prod", hostname="h", version="1", instance=str(uuid4()))
    done = await acme.registry.machines.register(acme.id, acme.jane, new, is_online, acme.later())
    assert done.created
    assert len(asked) == 2


async def test_a_settled_rename_leaves_the_old_name_and_hostname_resolvable_for_a_day(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())))
    await acme.connect(acme.jane, "studio", instance=instance, hostname="new.local")
    former = await acme.registry.machines.former(acme.id, acme.now_ms)
    assert set(former[machine.id]) == {"mac", "mac.local"}
    assert await acme.registry.machines.former(acme.id, acme.now_ms + DAY_MS) == {}


async def test_a_settled_change_of_visibility_moves_the_name_and_frees_the_old_one(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())), visibility="SHARED")
    moved = await acme.connect(acme.jane, "mac", instance=instance, visibility="PRIVATE")
    assert (moved.id, moved.visibility, moved.name_held) == (machine.id, "PRIVATE", True)
    assert (await acme.register(await acme.key(), "mac")).created


async def test_a_wanted_name_that_somebody_else_got_meanwhile_leaves_the_old_name(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    mine = await acme.connect(acme.jane, "mac", instance=(instance := str(uuid4())), visibility="SHARED")
    asked = await acme.register(acme.jane, "studio", instance=instance)
    other = await acme.connect(bob, "studio", visibility="SHARED")
    settled = (await acme.hello(asked)).machine
    assert (settled.id, settled.name, settled.name_held) == (mine.id, "mac", True)
    assert await acme.holders("studio") == [other.id]
