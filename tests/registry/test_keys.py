"""Says what a workspace key is and what goes with it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.errors import LimitReached, NotFound
from relay.rules import limits
from tests.registry.acme import Acme, make_hash


async def test_keys_are_listed_newest_first_without_those_that_ended(acme: Acme) -> None:
    create = acme.registry.keys.create
    first = await create(acme.id, make_hash(), "first", None, acme.as_jane, acme.later())
    second = await create(acme.id, make_hash(), "second", acme.now_ms + 5_000, acme.as_jane, acme.later())
    third = await create(acme.id, make_hash(), "third", None, acme.as_jane, acme.later())
    assert await acme.registry.keys.list(acme.id, acme.now_ms) == [third, second, first]
    assert first.created_by == "Jane"
    await acme.registry.keys.revoke(acme.id, third.id, acme.as_jane, acme.later())
    assert await acme.registry.keys.list(acme.id, acme.now_ms) == [second, first]
    assert await acme.registry.keys.list(acme.id, acme.now_ms + 60_000) == [first]


async def test_a_revoked_key_finds_nobody_and_leaves_its_machines(acme: Acme) -> None:
    hash = make_hash()
    key = await acme.registry.keys.create(acme.id, hash, "fleet", None, acme.as_jane, acme.later())
    who = await acme.registry.credentials.find([hash], acme.now_ms)
    assert who is not None
    machine = await acme.connect(who, "runner")
    before = await acme.registry.changes.latest()
    done = await acme.registry.keys.revoke(acme.id, key.id, acme.as_jane, acme.later())
    assert done.machines == []
    assert await acme.registry.credentials.find([hash], acme.now_ms) is None
    assert (await acme.get(machine.id)).revoked_ms is None
    (change,) = await acme.registry.changes.since(before)
    assert (change.kind, change.workspace, change.subject) == ("credential", acme.id, key.id)


async def test_a_key_takes_its_machines_along_when_asked_even_afterwards(acme: Acme) -> None:
    first, second = await acme.key("first"), await acme.key("second")
    gone, stays = await acme.connect(first, "a"), await acme.connect(second, "b")
    for machines in (False, True, True):
        done = await acme.registry.keys.revoke(acme.id, first.id, acme.as_jane, acme.later(), machines=machines)
        if machines and (await acme.registry.machines.get(gone.id, revoked=True)).revoked_ms == acme.now_ms:
            assert done.machines == [gone.id]
    assert [machine.id for machine in await acme.registry.machines.list([acme.id])] == [stays.id]


async def test_a_key_of_another_workspace_does_not_exist_here(acme: Acme) -> None:
    key = await acme.key()
    other = await acme.registry.workspaces.create("other", acme.owner.id, acme.as_jane, acme.later())
    for workspace, id in ((other.id, key.id), (acme.id, str(uuid4())), (str(uuid4()), key.id)):
        with pytest.raises(NotFound):
            await acme.registry.keys.revoke(workspace, id, acme.as_jane, acme.later())


async def test_a_workspace_has_so_many_keys_and_no_more(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_PER_WORKSPACE", 2)
    first, _ = await acme.key("a"), await acme.key("b")
    with pytest.raises(LimitReached):
        await acme.key("c")
    await acme.registry.keys.revoke(acme.id, first.id, acme.as_jane, acme.later())
    await acme.key("c")
