"""Says what may change about a machine and what lists show of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from relay.errors import Conflict, Invalid, LimitReached, NameTaken, NotFound
from relay.registry import reading
from relay.registry.tables import machines
from relay.rules import limits
from relay.rules.machine import Registered
from tests.registry.acme import DAY_MS, Acme


async def test_a_list_shows_all_machines_of_the_asked_workspaces_and_no_others(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    mine, his = await acme.register(acme.jane, "a"), await acme.register(bob, "b")
    other = await acme.registry.workspaces.create("other", acme.owner.id, acme.as_jane, acme.later())
    listed = {machine.id: machine for machine in await acme.registry.machines.list([acme.id])}
    assert listed == {mine.machine.id: mine.machine, his.machine.id: his.machine}
    assert await acme.registry.machines.list([other.id]) == []
    assert await acme.registry.machines.list([]) == []
    assert len(await acme.registry.machines.list([acme.id, other.id])) == 2


async def test_what_people_wrote_arrives_as_they_wrote_it(acme: Acme) -> None:
    labels = {'quote " and \\': "Grüße, 日本, \U0001f680", "": "\u2028"}
    machine = await acme.connect(acme.jane, "bürö \"1\" 'x'", hostname="MÄC", labels=labels)
    (listed,) = await acme.registry.machines.list([acme.id])
    assert listed == machine
    assert (listed.name, listed.hostname, listed.labels) == ("bürö \"1\" 'x'", "MÄC", labels)


async def test_machines_are_found_by_id_revoked_ones_only_when_asked_for(acme: Acme) -> None:
    kept, gone = await acme.connect(acme.jane, "a"), await acme.connect(acme.jane, "b")
    await acme.registry.machines.revoke(gone.id, acme.as_jane, acme.later())
    found = await acme.registry.machines.get_many([kept.id, gone.id, str(uuid4())])
    assert found == {kept.id: kept}
    with pytest.raises(NotFound):
        await acme.get(gone.id)
    assert (await acme.registry.machines.get(gone.id, revoked=True)).revoked_ms == acme.now_ms
    with pytest.raises(NotFound):
        await acme.get(str(uuid4()))


async def test_a_long_list_lets_others_run_between_slices(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = 8
    await fill(acme, reading.SLICE_ROWS * slices)
    turns, turns_at_decoding = 0, set()
    decoder = reading._LIST_DECODER

    class Watched:
        def decode(self, text: str) -> list[Registered]:
            turns_at_decoding.add(turns)
            return list(decoder.decode(text))

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(reading, "_LIST_DECODER", Watched())
    running = asyncio.create_task(others())
    found = await acme.registry.machines.list([acme.id])
    running.cancel()
    assert len({machine.id for machine in found}) == reading.SLICE_ROWS * slices
    assert len(turns_at_decoding) >= slices - 2, "a slice ends with the group that fills it"


async def test_a_workspace_holds_so_many_machines_and_no_more(acme: Acme) -> None:
    await fill(acme, limits.MACHINES_PER_WORKSPACE)
    with pytest.raises(LimitReached) as refused:
        await acme.register(acme.jane, "one-too-many")
    assert refused.value.extra["limit"] == "MACHINES_PER_WORKSPACE"


async def test_a_renamed_machine_is_found_by_its_old_name_for_a_day(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, hostname="mac.local")
    renamed = await acme.registry.machines.rename(machine.id, "studio", acme.as_jane, acme.later())
    assert (renamed.name, renamed.name_chosen) == ("studio", True)
    assert await acme.registry.machines.former(acme.id, acme.now_ms) == {machine.id: ("mac",)}
    assert await acme.registry.machines.former(acme.id, acme.now_ms + DAY_MS) == {}
    assert await acme.registry.machines.clean(acme.now_ms + DAY_MS - 1) == 0
    assert await acme.registry.machines.clean(acme.now_ms + DAY_MS) == 1
    assert (await acme.trail(acme.owner.id))[0] == "machine.renamed"


async def test_a_name_taken_back_is_no_former_name(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "a", hostname="host")
    for name in ("b", "a"):
        await acme.registry.machines.rename(machine.id, name, acme.as_jane, acme.later())
    assert await acme.registry.machines.former(acme.id, acme.now_ms) == {machine.id: ("b",)}


async def test_a_rename_to_the_same_name_in_other_letters_is_no_conflict_with_itself(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    assert (await acme.registry.machines.rename(machine.id, "MAC", acme.as_jane, acme.later())).name == "MAC"
    before = await acme.registry.changes.latest()
    await acme.registry.machines.rename(machine.id, "MAC", acme.as_jane, acme.later())
    assert await acme.registry.changes.latest() == before, "nothing changed, so nobody is told"


async def test_a_rename_onto_a_taken_name_is_refused_whatever_its_letters(acme: Acme) -> None:
    one, two = await acme.connect(acme.jane, "one"), await acme.connect(acme.jane, "two")
    with pytest.raises(NameTaken):
        await acme.registry.machines.rename(two.id, "ONE", acme.as_jane, acme.later())
    with pytest.raises(Invalid):
        await acme.registry.machines.rename(one.id, "a:b", acme.as_jane, acme.later())
    assert (await acme.get(two.id)).name == "two"


async def test_a_machine_that_lost_its_name_gets_another(acme: Acme) -> None:
    older = await acme.connect(acme.jane, "prod")
    newer = await acme.connect(acme.jane, "prod")
    renamed = await acme.registry.machines.rename(older.id, "old-prod", acme.as_jane, acme.later())
    assert (renamed.name_held, renamed.shadowed_by) == (True, None)
    assert await acme.holders("prod") == [newer.id]
    assert await acme.registry.machines.former(acme.id, acme.now_ms) == {}, "the lost name leads to the taker alone"


async def test_two_renames_onto_one_name_at_once_give_one_holder(acme: Acme) -> None:
    found = [await acme.connect(acme.jane, name) for name in ("a", "b", "c", "d")]
    renames = [acme.registry.machines.rename(one.id, "prod", acme.as_jane, acme.now_ms) for one in found]
    done = await asyncio.gather(*renames, return_exceptions=True)
    assert sum(isinstance(one, Registered) for one in done) == 1
    assert sum(isinstance(one, NameTaken) for one in done) == 3


async def test_labels_are_replaced_whole(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac", labels={"os": "linux"})
    changed = await acme.registry.machines.relabel(machine.id, {"zone": "a"}, acme.as_jane, acme.later())
    assert changed.labels == {"zone": "a"}


async def test_a_hostname_change_takes_the_name_along_only_if_nobody_chose_one(acme: Acme) -> None:
    plain = await acme.connect(acme.jane, hostname="one.local")
    named = await acme.connect(acme.jane, "chosen", hostname="two.local")
    moved = await acme.registry.machines.set_hostname(plain.id, "three.local", acme.later())
    stays = await acme.registry.machines.set_hostname(named.id, "four.local", acme.later())
    assert (moved.id, moved.name, moved.hostname) == (plain.id, "three", "three.local")
    assert (stays.name, stays.hostname) == ("chosen", "four.local")
    former = await acme.registry.machines.former(acme.id, acme.now_ms)
    assert {id: set(names) for id, names in former.items()} == {
        plain.id: {"one", "one.local"},
        named.id: {"two.local"},
    }


async def test_a_hostname_change_onto_a_taken_name_keeps_the_name(acme: Acme) -> None:
    await acme.connect(acme.jane, "taken")
    machine = await acme.connect(acme.jane, hostname="mine")
    moved = await acme.registry.machines.set_hostname(machine.id, "taken.local", acme.later())
    assert (moved.name, moved.name_held, moved.hostname) == ("mine", True, "taken.local")


async def test_the_same_hostname_again_changes_nothing(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, hostname="one")
    before = await acme.registry.changes.latest()
    assert await acme.registry.machines.set_hostname(machine.id, "one", acme.later()) == machine
    assert await acme.registry.changes.latest() == before


async def test_visibility_moves_the_name_to_another_scope(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    shared = await acme.registry.machines.set_visibility(machine.id, "SHARED", acme.as_jane, acme.later())
    assert (shared.visibility, shared.name_held) == ("SHARED", True)
    assert (await acme.actions())[-1] == ("machine", "visibility")
    assert (await acme.connect(acme.jane, "mac", visibility="PRIVATE")).id != machine.id, "the old scope is free"


async def test_visibility_onto_a_taken_name_is_refused(acme: Acme) -> None:
    private = await acme.connect(acme.jane, "mac", visibility="PRIVATE")
    shared = await acme.connect(acme.jane, "mac", visibility="SHARED")
    for machine, visibility in ((private, "SHARED"), (shared, "PRIVATE")):
        wanted: Any = visibility
        with pytest.raises(NameTaken):
            await acme.registry.machines.set_visibility(machine.id, wanted, acme.as_jane, acme.later())


async def test_a_machine_of_nobody_cannot_become_private(acme: Acme) -> None:
    machine = await acme.connect(await acme.key(), "runner")
    with pytest.raises(Conflict):
        await acme.registry.machines.set_visibility(machine.id, "PRIVATE", acme.as_jane, acme.later())


async def test_a_machine_that_lost_its_name_holds_it_again_where_it_is_free(acme: Acme) -> None:
    older = await acme.connect(acme.jane, "prod", visibility="SHARED")
    await acme.connect(acme.jane, "prod", visibility="SHARED")
    moved = await acme.registry.machines.set_visibility(older.id, "PRIVATE", acme.as_jane, acme.later())
    assert (moved.name_held, moved.shadowed_by) == (True, None)


async def test_revoked_and_unknown_machines_cannot_be_changed(acme: Acme) -> None:
    gone = await acme.connect(acme.jane, "gone")
    await acme.registry.machines.revoke(gone.id, acme.as_jane, acme.later())
    for id in (gone.id, str(uuid4())):
        with pytest.raises(NotFound):
            await acme.registry.machines.rename(id, "x", acme.as_jane, acme.later())
        with pytest.raises(NotFound):
            await acme.registry.machines.relabel(id, {}, acme.as_jane, acme.later())
        with pytest.raises(NotFound):
            await acme.registry.machines.set_visibility(id, "SHARED", acme.as_jane, acme.later())
        with pytest.raises(NotFound):
            await acme.registry.machines.set_hostname(id, "x", acme.later())


async def fill(acme: Acme, count: int) -> None:
    """So many machines at once, as no agents would register them."""
    rows = [
        {
            "id": str(uuid4()), "workspace": acme.id, "owner": acme.owner.id, "name": f"m-{index}",
            "folded": f"m-{index}", "scope": "shared", "hostname": f"m-{index}.local", "visibility": "SHARED",
            "version": "1", "labels": json.dumps({"zone": "a"}), "instance": str(uuid4()), "token_version": 1,
            "settled_version": 1, "name_held": True, "name_chosen": True, "named_ms": 1, "ephemeral": False,
            "created_ms": 1,
        }
        for index in range(count)
    ]  # fmt: skip
    async with acme.registry._database.exclusive() as connection:
        await connection.execute(insert(machines), rows)
