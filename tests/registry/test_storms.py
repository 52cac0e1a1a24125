"""Says what many machines that register or say hello at once cost, and that each is judged for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select

from relay.errors import Forbidden, LimitReached, MachineRevoked, NotFound
from relay.registry import NewMachine, Registration, Registry, Settled, enrolment
from relay.registry.database import PATIENT_SECONDS, WRITERS, Database
from relay.registry.tables import workspaces
from relay.rules import limits
from relay.rules.access import Identity
from tests.registry.acme import Acme
from tests.registry.conftest import BOTH

MANY = 100
TWO_TRANSACTIONS = 40  # statements; each machine by itself took sixteen, and thirteen more at its hello


class Counted:
    """What a database was asked."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0
        self.rollbacks = 0


@contextmanager
def counted(database: Database) -> Iterator[Counted]:
    """Counts until the block ends."""
    count, engine = Counted(), database._engine.sync_engine

    def stated(*_: Any) -> None:
        count.statements += 1

    def committed(*_: Any) -> None:
        count.commits += 1

    def rolled_back(*_: Any) -> None:
        count.rollbacks += 1

    listeners = (("before_cursor_execute", stated), ("commit", committed), ("rollback", rolled_back))
    for name, listener in listeners:
        event.listen(engine, name, listener)
    try:
        yield count
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)


async def _at_once(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


async def test_a_hundred_fresh_machines_cost_the_registry_a_few_transactions(acme: Acme) -> None:
    key = await acme.key()
    with counted(acme.registry._database) as count:
        done = await asyncio.gather(*(acme.register(key, f"machine-{number}") for number in range(MANY)))
        settled = await asyncio.gather(*map(acme.hello, done))
    assert count.commits <= 4, "each is one transaction, and those who come a moment late may need another"
    assert count.statements <= 2 * TWO_TRANSACTIONS
    assert {found.machine.name for found in settled} == {f"machine-{number}" for number in range(MANY)}
    assert all(found.machine.name_held and found.machine.settled_version == 1 for found in settled)
    assert await acme.registry.machines.list([acme.id]) is not None
    numbers = [change.number for change in await acme.registry.changes.since(0)]
    assert numbers == list(range(1, len(numbers) + 1)), "numbered without holes"
    page = await acme.registry.audit.page(acme.id, None, limit=3 * MANY)
    assert [entry.actor.id for entry in page.entries if entry.action == "machine.registered"] == [key.id] * MANY


async def test_each_of_those_who_register_at_once_is_judged_by_its_own_credential(acme: Acme) -> None:
    good, bad, bob = await acme.key("good"), await acme.key("bad"), await acme.invite("Bob", "viewer")
    await acme.registry.keys.revoke(acme.id, bad.id, acme.as_jane, acme.later())
    who: list[Identity] = [good, bad, acme.jane, bob, good]
    done = await _at_once(*(acme.register(each, f"machine-{number}") for number, each in enumerate(who)))
    assert [type(found) for found in done] == [Registration, Forbidden, Registration, Forbidden, Registration]
    owners = [found.machine.owner and found.machine.owner.name for found in done if isinstance(found, Registration)]
    assert owners == [None, "Jane", None]
    registered = {machine.name for machine in await acme.registry.machines.list([acme.id])}
    assert registered == {"machine-0", "machine-2", "machine-4"}
    assert sorted(acme.owner.id == found.actor.id for found in await _registered(acme)) == [False, False, True]


async def _registered(acme: Acme) -> list[Any]:
    entries = (await acme.registry.audit.page(acme.id, acme.owner.id)).entries
    return [entry for entry in entries if entry.action == "machine.registered"]


async def test_a_full_workspace_refuses_those_of_a_storm_who_are_too_many(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MACHINES_PER_WORKSPACE", 5)
    key = await acme.key()
    done = await _at_once(*(acme.register(key, f"machine-{number}") for number in range(8)))
    assert [type(found) for found in done] == [Registration] * 5 + [LimitReached] * 3


async def test_a_revoked_installation_among_others_stays_revoked(acme: Acme) -> None:
    key, stolen = await acme.key(), str(uuid4())
    machine = await acme.connect(key, "stolen", instance=stolen)
    fresh = await acme.register(key, "fresh")
    await acme.registry.machines.revoke(machine.id, acme.as_jane, acme.later())
    done = await _at_once(
        acme.register(key, "one"),
        acme.register(key, "stolen", instance=stolen),
        acme.register(key, "two", instance=str(uuid4()), again=True),
    )
    assert [type(found) for found in done] == [Registration, MachineRevoked, Registration]
    hellos = [acme.registry.machines.settle(id, 1, acme.later()) for id in (machine.id, fresh.machine.id, str(uuid4()))]
    assert [type(found) for found in await _at_once(*hellos)] == [MachineRevoked, Settled, NotFound]


async def test_an_installation_that_registers_twice_at_once_is_one_machine(acme: Acme) -> None:
    key, instance = await acme.key(), str(uuid4())
    with counted(acme.registry._database) as count:
        done = await asyncio.gather(*(acme.register(key, "mac", instance=instance) for _ in range(3)))
        settled = await asyncio.gather(*map(acme.hello, done))
    assert len({found.machine.id for found in done}) == 1
    assert sorted(found.token_version for found in done) == [1, 2, 3]
    assert count.rollbacks == 0, "they are told apart before anything is written"
    assert (await acme.get(done[0].machine.id)).settled_version == 3
    assert len(settled) == 3


async def test_one_machine_that_comes_to_two_nodes_at_once_is_one_row(url: str, acme: Acme) -> None:
    key, other = await acme.key(), await Registry.open(url)
    instances = [str(uuid4()) for _ in range(10)]

    def register(registry: Registry, number: int) -> Any:
        new = NewMachine(name=f"mac-{number}", hostname="mac", version="1", instance=instances[number])
        return registry.machines.register(acme.id, key, new, acme.is_online, acme.now_ms)

    nodes = (acme.registry, other)
    done = await asyncio.gather(*(register(node, number) for number in range(10) for node in nodes))
    assert {found.machine.instance for found in done} == set(instances)
    assert len({found.machine.id for found in done}) == 10
    assert len(await acme.registry.machines.list([acme.id])) == 10
    hellos = (node.machines.settle(found.machine.id, 2, acme.now_ms) for found in done for node in nodes)
    assert all(found.machine.settled_version == 2 for found in await asyncio.gather(*hellos))
    await other.close()


async def test_a_fleet_that_is_installed_anew_at_once_keeps_its_ids(acme: Acme) -> None:
    """Every name is held by a machine that is offline: presence is asked about each, and each is that machine."""
    key = await acme.key()
    before = await asyncio.gather(*(acme.register(key, f"machine-{number}") for number in range(MANY)))
    await asyncio.gather(*map(acme.hello, before))
    acme.online.clear()
    with counted(acme.registry._database) as count:
        again = await asyncio.gather(
            *(acme.register(key, f"machine-{number}", version="2.0") for number in range(MANY))
        )
        settled = await asyncio.gather(*map(acme.hello, again))
    assert [found.machine.id for found in again] == [found.machine.id for found in before]
    assert {(found.machine.version, found.machine.token_version) for found in settled} == {("2.0", 2)}
    assert count.statements <= 4 * TWO_TRANSACTIONS


async def test_names_that_are_taken_over_in_a_storm_of_hellos_have_one_holder_each(acme: Acme) -> None:
    older = await acme.connect(acme.jane, "prod")
    names = ["prod", "one", "prod", "two"]
    done = [await acme.register(acme.jane, name) for name in names]
    settled = await asyncio.gather(*map(acme.hello, done))
    assert await acme.holders("prod") == [done[2].machine.id]
    assert [len(await acme.holders(name)) for name in ("one", "two")] == [1, 1]
    assert {found.shadowed.id for found in settled if found.shadowed is not None} >= {older.id}
    assert (await acme.get(older.id)).shadowed_by == done[2].machine.id


@pytest.mark.parametrize("url", BOTH[1:], indirect=True)  # a SQLite file has one writer, whoever's rows it writes
async def test_a_workspace_that_somebody_holds_keeps_no_machine_of_another_out_and_its_own_go_on_together(
    url: str, acme: Acme
) -> None:
    """A fleet that leaves, a person with a console: those who wait for it do so by themselves."""
    key, patient = await acme.key(), Registry(Database(url, answer_seconds=PATIENT_SECONDS))
    founded = await patient.workspaces.create("beta", acme.owner.id, acme.as_jane, acme.later())
    beta = Acme(patient, founded, acme.owner)
    mine = [await acme.register(key, f"machine-{number}") for number in range(MANY)]
    await beta.connect(beta.jane, "one")
    theirs = [await beta.register(beta.jane, name) for name in ("one", "two", "three")]
    person, acme.registry = acme.registry._database._engine, patient
    async with person.connect() as connection, connection.begin() as holding:
        await connection.execute(select(workspaces).where(workspaces.c.id == acme.id).with_for_update())
        with counted(patient._database) as count:
            waiting = [asyncio.create_task(acme.hello(each)) for each in mine]
            settled = await asyncio.gather(*map(beta.hello, theirs))
            assert not any(task.done() for task in waiting)
            await holding.rollback()
            settled += await asyncio.gather(*waiting)
    assert [found.machine.settled_version for found in settled] == [1] * (3 + MANY)
    assert await beta.holders("one") == [theirs[0].machine.id]
    assert count.commits <= 4, "one for all, one for those that were held, and one for the name that was taken"
    await patient.close()


async def test_an_autoscaled_fleet_that_leaves_at_once_is_gone_in_a_few_transactions(acme: Acme) -> None:
    key, instances = await acme.key(), [str(uuid4()) for _ in range(MANY)]

    def register(number: int) -> Any:
        return acme.register(key, f"runner-{number}", instance=instances[number], ephemeral=True)

    done = await asyncio.gather(*map(register, range(MANY)))
    await asyncio.gather(*map(acme.hello, done))
    heir = await acme.connect(key, "runner-0")
    taken = await acme.connect(key, "runner-0")
    ids = [found.machine.id for found in done]
    with counted(acme.registry._database) as count:
        leaving = (acme.registry.machines.leave(acme.id, id, acme.later()) for id in [*ids, taken.id, str(uuid4())])
        await asyncio.gather(*leaving)
    assert count.statements <= TWO_TRANSACTIONS
    assert [machine.id for machine in await acme.registry.machines.list([acme.id])] == [heir.id]
    assert await acme.holders("runner-0") == [heir.id], "a name that became free returns"
    assert len((await acme.registry.machines.revoked(0)).machines) == MANY + 1
    entries = (await acme.registry.audit.page(acme.id, None, limit=3 * MANY)).entries
    assert sum(entry.action == "machine.left" for entry in entries) == MANY + 1
    assert all(found.created for found in await asyncio.gather(*map(register, range(MANY)))), "unasked"


async def test_what_one_machine_cannot_be_stored_for_leaves_the_others_stored_and_nothing_of_it(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, before = await acme.key(), enrolment._row

    def row(*given: Any) -> dict[str, Any]:
        found = before(*given)
        return found | {"name": None} if found["name"] == "broken" else found

    monkeypatch.setattr(enrolment, "_row", row)
    done = await _at_once(*(acme.register(key, name) for name in ("one", "broken", "two")))
    assert [isinstance(found, Registration) for found in done] == [True, False, True]
    assert {machine.name for machine in await acme.registry.machines.list([acme.id])} == {"one", "two"}
    assert len(await _registered(acme)) == 2


async def test_a_thousand_looks_at_single_machines_share_a_few_queries(acme: Acme) -> None:
    """As when people of many teams come at once to a node that has just started."""
    done = [await acme.register(acme.jane, name) for name in ("one", "two")]
    ids = [*(found.machine.id for found in done), str(uuid4())] * 300
    with counted(acme.registry._database) as count:
        found = await asyncio.gather(*map(acme.registry.machines.look, ids))
    assert [machine and machine.name for machine in found] == ["one", "two", None] * 300
    assert count.statements <= TWO_TRANSACTIONS


async def test_writers_who_wait_for_each_other_leave_connections_to_those_who_read(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac")
    holding, let_go = asyncio.Event(), asyncio.Event()

    async def hold(connection: Any) -> None:
        holding.set()
        await let_go.wait()

    held = [asyncio.create_task(acme.registry._database.attempt(hold)) for _ in range(4 * WRITERS)]
    await holding.wait()
    assert (await acme.get(machine.id)).name == "mac"
    let_go.set()
    await asyncio.gather(*held)
