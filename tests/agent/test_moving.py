"""Tests how the agent moves to another node when it is asked to."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from random import Random

from relay.agent.agent import MOVE_ATTEMPTS
from relay.errors import Close
from relay.rules import timing
from relay.rules.agent_messages import Move, SessionChanged
from relay.rules.messages import Attached
from tests.agent.node import Node
from tests.agent.served import Served, attach_to, open_session


async def test_asked_to_move_it_keeps_the_old_socket_until_it_is_welcomed_elsewhere(
    agent: Served, one: Node, two: Node
) -> None:
    visit = await one.visit()
    session = await open_session(visit, "cat")
    two.welcomes = False
    await visit.tell(Move(nodes=[one.url, two.url], within_seconds=10))
    there = await two.visit()
    assert not visit.closed.is_set()
    assert (await visit.ask("sessions", ref=9)).result is not None
    assert there.hello is not None
    assert [told.id for told in there.hello.sessions] == [session.id]
    await there.tell(two.welcome(there))
    await visit.closed.wait()
    await there.tell(attach_to(session))
    assert (await there.hears(Attached)).head == 0


async def test_a_session_opened_while_it_moves_is_told_of_at_the_new_place(agent: Served, one: Node, two: Node) -> None:
    visit = await one.visit()
    two.welcomes = False
    await visit.tell(Move(nodes=[two.url], within_seconds=10))
    there = await two.visit()
    session = await open_session(visit, "cat")
    await there.tell(two.welcome(there))
    assert (await there.hears(SessionChanged)).session.id == session.id


async def test_when_nobody_takes_it_it_stays(agent: Served, one: Node, two: Node) -> None:
    visit = await one.visit()
    two.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    await visit.tell(Move(nodes=[two.url], within_seconds=10))
    assert (await visit.ask("sessions")).result is not None
    assert not visit.closed.is_set()


class Long(Random):
    """Draws nine tenths of the longest wait there is."""

    def uniform(self, a: float, b: float) -> float:
        return 0.9 * b


async def test_moved_by_every_node_of_a_rolling_deploy_it_never_waits_and_was_connected_all_the_time(
    tmp_path: Path, one: Node, two: Node
) -> None:
    """It was cut off twice before. When the deploy is over and its node dies, that is long ago."""
    agent = Served(tmp_path, [one])
    agent.random = Long()
    agent.start()
    for number in (1, 2):
        (await one.visit(number)).cut()
    for number in range(3, 7):
        here, there = (one, two) if number % 2 else (two, one)
        visit = await here.visit(3 + (number - 3) // 2 if here is one else (number - 2) // 2)
        agent.clock.skipped += timing.STABLE_SECONDS / 3
        await visit.tell(Move(nodes=[there.url], within_seconds=10))
        await visit.closed.wait()
    visit = await one.visit(5)
    assert agent.waits == [0.9 * step for step in timing.AGENT_BACK_OFF_SECONDS[:2]]
    visit.cut()
    await one.visit(6)
    assert agent.waits[2:] == [0.9 * timing.AGENT_BACK_OFF_SECONDS[0]]
    await agent.stopped()


async def test_closed_by_nodes_that_drain_before_it_could_move_it_is_back_within_the_first_step_each_time(
    agent: Served, one: Node, two: Node
) -> None:
    two.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    for number in range(1, 5):
        visit = await one.visit(number)
        await visit.tell(Move(nodes=[two.url], within_seconds=10))
        await agent.clock.until(lambda number=number: two.refusals == number * MOVE_ATTEMPTS)  # type: ignore[misc]
        before = len(agent.waits)
        await visit.close(Close.DRAINING, "draining")
        await one.visit(number + 1)
        assert max(agent.waits[before:]) <= timing.AGENT_BACK_OFF_SECONDS[0]


async def test_behind_a_balancer_it_dials_the_one_address_that_there_is(agent: Served, one: Node) -> None:
    visit = await one.visit()
    await visit.tell(Move(nodes=[one.url], within_seconds=10))
    await one.visit()
    await visit.closed.wait()


async def test_a_drain_that_closes_before_the_move_is_done_does_not_start_over(
    agent: Served, one: Node, two: Node
) -> None:
    visit = await one.visit()
    two.welcomes = False
    await visit.tell(Move(nodes=[two.url], within_seconds=10))
    there = await two.visit()
    await visit.close(Close.DRAINING, "draining")
    await there.tell(two.welcome(there))
    assert (await there.ask("sessions")).result is not None
    assert (len(one.visits), len(two.visits)) == (1, 1)


async def test_revoked_while_it_moves_it_leaves(agent: Served, one: Node, two: Node) -> None:
    visit = await one.visit()
    two.welcomes = False
    await visit.tell(Move(nodes=[two.url], within_seconds=10))
    await two.visit()
    await visit.close(Close.MACHINE_REVOKED, "machine-revoked")
    assert (await agent.leaves()).revoked
