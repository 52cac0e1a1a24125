"""Shows what people notice when the registry restarts, fails over or hangs: a clear 503 for writes, and no more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.faults.caller import (
    ANSWER_SECONDS,
    HEALED_SECONDS,
    LOOK_SECONDS,
    SLACK_SECONDS,
    Caller,
    impaired,
    is_away,
    reads_are_served,
    until,
)
from tests.faults.cluster import Machines
from tests.faults.load import Plan, loaded
from tests.faults.on_postgres import OnPostgres, cut
from tests.support.bare import BareMachine, bare
from tests.support.cluster import Team
from tests.support.metrics import Metrics
from tests.support.patience import within

PLAN = Plan(sessions=1, browsers=2, every_ms=100)
LISTED_SECONDS = 1.0  # a list from memory waits for nobody


@pytest.fixture
async def callers(on_pair: OnPostgres, members: Team) -> Any:
    """The owner at each of the nodes, known to all."""
    found = [Caller(url, members.owner.token) for url in on_pair.urls]
    for caller in found:
        assert (await caller("GET", "/api/machines")).is_success
    yield found
    for caller in found:
        await caller.close()


async def says_that_it_is_away(cluster: OnPostgres) -> None:
    """The nodes stay ready, and say what does not work."""
    for url in cluster.urls:
        await is_away(url)
        assert Metrics(cluster, url).gauge("relay_registry_away") == 1


async def test_people_at_work_notice_nothing_of_a_registry_that_hangs_and_writers_are_told(
    on_pair: OnPostgres, members: Team, two: Machines, callers: list[Caller], seed: int
) -> None:
    """Machines that lose their socket meanwhile come back, by every node that has heard of them."""
    machines = {machine["name"]: machine for machine in members.machines()}
    path = f"/api/machines/{machines['laptop']['id']}"
    async with loaded(on_pair, members, two, seed, PLAN) as load:
        on_pair.pair.primary.freeze()
        try:
            await asyncio.gather(
                *(caller.is_refused_for_the_registry("PATCH", path, {"labels": {"a": "b"}}) for caller in callers)
            )
            await says_that_it_is_away(on_pair)
            await reads_are_served(callers, members.workspace)
            assert max(caller.took_seconds for caller in callers) <= within(LISTED_SECONDS + SLACK_SECONDS)
            welcomes = two.welcomes("builder")
            assert on_pair.front(two.node_of("builder")).reset(only=b"/ws/agent") >= 1
            await until(lambda: two.welcomes("builder") > welcomes)
            await load.catches_up()
        finally:
            on_pair.pair.primary.thaw()
        healed = await asyncio.gather(*(each.until_it_works("PATCH", path, {"labels": {"c": "d"}}) for each in callers))
        print(f"a hanging registry was used again after {max(healed):.1f} s")
        assert max(healed) <= within(HEALED_SECONDS)
        assert load.gaps == 0
    for url in on_pair.urls:
        assert await impaired(url) == []


async def test_a_restart_of_the_registry_loses_nothing_that_was_acknowledged(
    on_pair: OnPostgres, members: Team, two: Machines, callers: list[Caller], seed: int
) -> None:
    """Renames go on all the while; those that were answered are there, and of the others each is whole or not there."""
    machine = {each["name"]: each for each in members.machines()}["laptop"]
    path, stop = f"/api/machines/{machine['id']}", asyncio.Event()
    acknowledged: list[str] = []

    async def relabel(caller: Caller, prefix: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            response = await caller("PATCH", path, {"labels": {prefix: str(number), f"{prefix}-too": str(number)}})
            if response.is_success:
                acknowledged[:] = [*acknowledged, f"{prefix}={number}"][-1:]
            else:
                assert (response.status_code, response.json()["code"]) == (503, "registry-unavailable")
                assert caller.took_seconds <= within(ANSWER_SECONDS + SLACK_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)

    async with loaded(on_pair, members, two, seed, PLAN) as load:
        writing = asyncio.create_task(relabel(callers[0], "x"))
        await until(lambda: bool(acknowledged))
        await asyncio.to_thread(on_pair.pair.primary.throw_away)
        await says_that_it_is_away(on_pair)
        last = acknowledged[-1]
        await on_pair.pair.primary.start_again()
        took = await until(lambda: acknowledged[-1] != last)
        print(f"a restarted registry was written to again after {took:.1f} s")
        assert took <= within(HEALED_SECONDS)
        stop.set()
        await writing
        seen: list[Any] = []

        async def the_other_reads() -> bool:
            """It looks again whether the registry is back every two seconds."""
            answer = await callers[1]("GET", path)
            seen.append(answer.json())
            return bool(answer.is_success)

        await until(the_other_reads)
        labels = seen[-1]["labels"]
        assert labels["x"] == labels["x-too"]
        assert int(labels["x"]) >= int(acknowledged[-1].partition("=")[2])
        assert load.gaps == 0


async def test_a_registration_whose_first_hello_met_no_registry_is_completed_by_the_next(
    on_pair: OnPostgres, members: Team
) -> None:
    """A hello that could not settle what was registered leaves nothing behind that says it did."""
    url = on_pair.urls[0]
    machine = await asyncio.to_thread(BareMachine, members, "newcomer")

    def knock() -> tuple[int, str]:
        with bare(url, "/ws/agent", machine.token) as agent:
            agent.say(**machine.hello())
            return agent.is_closed()

    cut(on_pair.registry(url))
    assert await asyncio.to_thread(knock) == (4103, "unavailable")
    on_pair.registry(url).heal()

    def come_in() -> dict[str, Any]:
        give_up = time.monotonic() + within(HEALED_SECONDS)
        while True:
            with bare(url, "/ws/agent", machine.token) as agent:
                agent.say(**machine.hello())
                try:
                    agent.hears("welcome")
                except Exception:
                    assert time.monotonic() < give_up, "it is not let in"
                    time.sleep(LOOK_SECONDS)
                    continue
                return members.machine("newcomer")

    assert (await asyncio.to_thread(come_in))["id"] == machine.id
    query = f"SELECT settled_version, token_version FROM machines WHERE id = '{machine.id}'"
    [row] = await on_pair.pair.primary.fetch(query)
    assert row["settled_version"] == row["token_version"]


async def test_a_node_that_hears_of_changes_it_cannot_read_says_so_instead_of_showing_what_was(
    on_pair: OnPostgres, members: Team, two: Machines, callers: list[Caller]
) -> None:
    """Somebody else reached the registry and changed something: who may see what is no longer known here."""
    here = on_pair.urls[0]
    laptop = {each["name"]: each["id"] for each in members.machines()}["laptop"]
    cut(on_pair.registry(here))
    await is_away(here)
    path = f"/api/machines?workspace={members.workspace}"
    assert (await callers[0]("GET", path)).is_success
    assert (await callers[1]("PATCH", f"/api/machines/{laptop}", {"labels": {"seen": "there"}})).is_success

    async def is_refused() -> bool:
        return not (await callers[0]("GET", path)).is_success

    await until(is_refused)
    await callers[0].is_refused_for_the_registry("GET", path, None)
    assert (await callers[1]("GET", path)).is_success
    on_pair.registry(here).heal()
    await callers[0].until_it_works("GET", path, None)
    labels = {each["id"]: each["labels"] for each in (await callers[0]("GET", path)).json()["machines"]}
    assert labels[laptop] == {"seen": "there"}


async def test_a_departure_while_the_registry_is_away_is_told_once_and_stored_when_it_is_back(
    on_pair: OnPostgres, members: Team, two: Machines
) -> None:
    """Two sweepers keep what they owe it, whoever of them claimed it first."""
    machine = await asyncio.to_thread(BareMachine, members, "leaver")

    def leave() -> None:
        with machine.agent(on_pair.urls[0]) as agent:
            for proxy in on_pair.registries():
                cut(proxy)
            agent.say(type="bye")

    await asyncio.to_thread(leave)
    for sweeper in on_pair.sweepers:
        times = sweeper.output().count("a sweep waits")
        await asyncio.to_thread(sweeper.says, "a sweep waits", within(HEALED_SECONDS), times + 2)

    def told() -> int:
        return sum(sweeper.output().count("a sweep told the registry") for sweeper in on_pair.sweepers)

    before = told()
    for proxy in on_pair.registries():
        proxy.heal()
    query = f"SELECT offline_reason FROM machines WHERE id = '{machine.id}'"

    async def is_stored() -> bool:
        rows = await on_pair.pair.primary.fetch(query)
        return [row["offline_reason"] for row in rows] == ["closed"]

    await until(is_stored, 2 * HEALED_SECONDS)  # a claim is taken over after ten seconds
    await until(lambda: told() > before)  # a sweeper stores it, confirms it, and then says so
    assert told() == before + 1


async def test_a_standby_that_takes_over_is_written_to_within_seconds(
    on_pair: OnPostgres, members: Team, two: Machines, callers: list[Caller], seed: int
) -> None:
    pair = on_pair.pair
    laptop = {each["name"]: each["id"] for each in members.machines()}["laptop"]
    path = f"/api/machines/{laptop}"
    await asyncio.to_thread(pair.standby.follow, pair.primary)
    await pair.standby.start_again()
    async with loaded(on_pair, members, two, seed, PLAN) as load:
        assert (await callers[0]("PATCH", path, {"labels": {"written": "before"}})).is_success
        await asyncio.to_thread(pair.primary.throw_away)
        pair.lead_to(pair.standby)
        await says_that_it_reads(on_pair)
        await reads_are_served(callers, members.workspace)
        await callers[0].is_refused_for_the_registry("PATCH", path, {"labels": {"written": "meanwhile"}})
        await pair.standby.execute("SELECT pg_promote()")
        pair.swap()
        healed = await asyncio.gather(
            *(each.until_it_works("PATCH", path, {"labels": {"written": "after"}}) for each in callers)
        )
        print(f"a standby was written to {max(healed):.1f} s after it took over")
        assert max(healed) <= within(HEALED_SECONDS)
        await load.catches_up()
        assert load.gaps == 0


async def says_that_it_reads(cluster: OnPostgres) -> None:
    """The nodes have found somebody who answers what they read."""

    async def reads() -> bool:
        return not any([await impaired(url) for url in cluster.urls])

    await until(reads)
