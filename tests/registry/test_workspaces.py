"""Says how workspaces and people come to be and change."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.errors import Conflict, LimitReached, NotFound
from relay.registry import Founded, Registry
from relay.rules import limits
from tests.registry.acme import START_MS, Acme


async def test_a_cluster_is_founded_once_even_by_two_at_once(registry: Registry) -> None:
    assert await registry.workspaces.first() is None
    done = await asyncio.gather(
        *[registry.workspaces.bootstrap("acme", name, START_MS) for name in ("Jane", "Bob", "Eve")],
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["Conflict", "Conflict", "Founded"]
    with pytest.raises(Conflict):
        await registry.workspaces.bootstrap("acme", "Jane", START_MS)
    (founded,) = [one for one in done if isinstance(one, Founded)]
    assert await registry.workspaces.first() == founded
    assert founded.workspace.name_takeover == "newest"


async def test_the_first_workspace_is_told_with_its_longest_standing_owner(acme: Acme) -> None:
    bob = await acme.invite("Bob", "owner")
    await acme.registry.workspaces.create("other", bob.id, acme.as_jane, acme.later())
    await acme.registry.members.remove(acme.id, acme.owner.id, acme.as_jane, acme.later())
    first = await acme.registry.workspaces.first()
    assert first is not None
    assert (first.workspace.id, first.owner.id) == (acme.id, bob.id)


async def test_a_person_sees_their_workspaces_by_name_with_their_role(acme: Acme) -> None:
    bob = await acme.invite("Bob", "viewer")
    zoo = await acme.registry.workspaces.create("Zoo", bob.id, acme.as_jane, acme.later())
    listed = await acme.registry.workspaces.of_person(bob.id)
    assert [(one.id, one.name, one.role) for one in listed] == [(acme.id, "acme", "viewer"), (zoo.id, "Zoo", "owner")]


async def test_a_workspace_is_renamed_and_set_and_every_node_told(acme: Acme) -> None:
    changed = await acme.registry.workspaces.update(
        acme.id, acme.as_jane, acme.later(), name="Acme Inc.", takeover="refuse-online"
    )
    assert (changed.name, changed.name_takeover) == ("Acme Inc.", "refuse-online")
    assert await acme.registry.workspaces.get(acme.id) == changed
    machine = await acme.register(acme.jane, "mac")
    assert machine.machine.workspace_name == "Acme Inc."
    before = await acme.registry.changes.latest()
    await acme.registry.workspaces.update(acme.id, acme.as_jane, acme.later(), name="Acme Inc.")
    assert await acme.registry.changes.latest() == before
    assert ("workspace", "updated") in await acme.actions()
    assert "workspace.updated" in await acme.trail()


async def test_unknown_workspaces_are_not_found(acme: Acme) -> None:
    with pytest.raises(NotFound):
        await acme.registry.workspaces.get(str(uuid4()))
    with pytest.raises(NotFound):
        await acme.registry.workspaces.update(str(uuid4()), acme.as_jane, acme.later(), name="x")
    with pytest.raises(NotFound):
        await acme.registry.workspaces.create("x", str(uuid4()), acme.as_jane, acme.later())


async def test_a_person_has_so_many_workspaces_and_no_more(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKSPACES_PER_PERSON", 2)
    await acme.registry.workspaces.create("two", acme.owner.id, acme.as_jane, acme.later())
    with pytest.raises(LimitReached):
        await acme.registry.workspaces.create("three", acme.owner.id, acme.as_jane, acme.later())


async def test_a_renamed_person_is_renamed_wherever_they_own_something(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    before = await acme.registry.changes.latest()
    await acme.registry.people.rename(acme.owner.id, "Jane Doe", acme.as_jane, acme.later())
    owner = (await acme.get(machine.id)).owner
    assert owner is not None
    assert owner.name == "Jane Doe"
    assert (await acme.registry.people.get(acme.owner.id)).name == "Jane Doe"
    assert await acme.actions(since=before) == [("member", "renamed")]
    with pytest.raises(NotFound):
        await acme.registry.people.rename(str(uuid4()), "x", acme.as_jane, acme.later())
