"""Says who belongs to a workspace, and what becomes of machines when somebody leaves."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.errors import Conflict, MachineRevoked, NotFound
from relay.registry import Removed
from tests.registry.acme import Acme


async def test_members_are_listed_by_name_with_their_roles(acme: Acme) -> None:
    await acme.invite("Zoe", "viewer")
    await acme.invite("adam", "admin")
    listed = await acme.registry.members.list(acme.id)
    assert [(member.person.name, member.role) for member in listed] == [
        ("adam", "admin"),
        ("Jane", "owner"),
        ("Zoe", "viewer"),
    ]


async def test_a_role_is_found_for_members_only(acme: Acme) -> None:
    bob = await acme.invite("Bob", "viewer")
    assert await acme.registry.members.role(acme.id, bob.id) == "viewer"
    assert await acme.registry.members.role(acme.id, str(uuid4())) is None


async def test_a_changed_role_is_told_to_every_node(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    member = await acme.registry.members.set_role(acme.id, bob.id, "admin", acme.as_jane, acme.later())
    assert (member.person.name, member.role) == ("Bob", "admin")
    change = (await acme.registry.changes.since(0))[-1]
    assert (change.kind, change.workspace, change.subject) == ("member", acme.id, bob.id)
    assert change.detail == {"action": "role", "role": "admin"}
    assert (await acme.trail())[0] == "member.role"


async def test_the_same_role_again_tells_nobody(acme: Acme) -> None:
    before = await acme.registry.changes.latest()
    await acme.registry.members.set_role(acme.id, acme.owner.id, "owner", acme.as_jane, acme.later())
    assert await acme.registry.changes.latest() == before


async def test_the_last_owner_stays(acme: Acme) -> None:
    with pytest.raises(Conflict):
        await acme.registry.members.set_role(acme.id, acme.owner.id, "admin", acme.as_jane, acme.later())
    with pytest.raises(Conflict):
        await acme.registry.members.remove(acme.id, acme.owner.id, acme.as_jane, acme.later())


async def test_of_two_owners_who_leave_at_once_one_stays(acme: Acme) -> None:
    bob = await acme.invite("Bob", "owner")
    leaving = [
        acme.registry.members.remove(acme.id, person, acme.as_jane, acme.now_ms) for person in (acme.owner.id, bob.id)
    ]
    done = await asyncio.gather(*leaving, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Conflict", "Removed"]


async def test_a_leaving_members_private_machines_are_revoked_and_shared_ones_pass_to_the_owner(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    await acme.invite("Later", "owner")
    private = await acme.connect(bob, "mac")
    shared = await acme.connect(bob, "build", visibility="SHARED")
    before = await acme.registry.changes.latest()

    removed = await acme.registry.members.remove(acme.id, bob.id, acme.as_jane, acme.later())

    assert removed == Removed([private.id], [shared.id], acme.owner)
    passed = await acme.get(shared.id)
    assert passed.owner is not None
    assert (passed.owner.id, passed.name, passed.name_held) == (acme.owner.id, "build", True)
    assert await acme.registry.members.role(acme.id, bob.id) is None
    told = await acme.actions(since=before)
    assert told == [("member", "removed"), ("machine", "owner"), ("machine-revoked", "revoked")]
    revoked = await acme.registry.machines.revoked(before)
    assert [one.id for one in revoked.machines] == [private.id]


async def test_a_registration_that_comes_with_the_removal_leaves_no_private_machine_behind(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    done = await asyncio.gather(
        acme.register(bob, "mac"),
        acme.registry.members.remove(acme.id, bob.id, acme.as_jane, acme.now_ms),
        return_exceptions=True,
    )
    assert isinstance(done[1], Removed)
    assert await acme.registry.machines.list([acme.id]) == []


async def test_a_removed_members_machine_does_not_register_again_by_itself(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    private = await acme.connect(bob, "mac")
    await acme.registry.members.remove(acme.id, bob.id, acme.as_jane, acme.later())
    with pytest.raises(MachineRevoked):
        await acme.register(await acme.key(), "mac", instance=private.instance)


async def test_strangers_have_no_role_to_change_or_lose(acme: Acme) -> None:
    with pytest.raises(NotFound):
        await acme.registry.members.set_role(acme.id, str(uuid4()), "admin", acme.as_jane, acme.later())
    with pytest.raises(NotFound):
        await acme.registry.members.remove(acme.id, str(uuid4()), acme.as_jane, acme.later())
    with pytest.raises(NotFound):
        await acme.registry.members.remove(str(uuid4()), acme.owner.id, acme.as_jane, acme.later())


async def test_what_only_the_leaver_might_know_stays_out_of_others_trails(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    await acme.connect(bob, "secret-project")
    await acme.registry.members.remove(acme.id, bob.id, acme.as_jane, acme.later())
    page = await acme.registry.audit.page(acme.id, acme.owner.id)
    assert "secret-project" not in str(page)
