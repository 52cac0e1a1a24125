"""Tests how the agent connects, beats, says goodbye, and what it does about every end of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
import structlog

from relay.errors import Close, Exit
from relay.rules import frames, timing
from relay.rules.agent_messages import Beat, Bye, Pace
from relay.rules.frames import Kind
from relay.rules.messages import ErrorMessage, Nodes, Notice
from tests.agent.node import Node, Visit
from tests.agent.served import INSTANCE, Served, attach_to, open_session
from tests.support.processes import alive


async def test_it_says_who_it_is_and_remembers_where_it_was_welcomed(agent: Served, one: Node) -> None:
    one.nodes = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    visit = await one.visit()
    assert visit.token == "rly_mach_token"
    assert visit.connection.subprotocol == "relay.v1"
    assert visit.hello is not None
    assert (visit.hello.instance, visit.hello.hostname, visit.hello.generation) == (INSTANCE, "mac.local", 0)
    await visit.until(lambda: (agent.enrolment.generation, agent.enrolment.nodes) == (101, tuple(one.nodes)))


async def test_it_keeps_a_newer_token_that_a_welcome_brings_and_shows_it_from_then_on(
    agent: Served, one: Node, two: Node
) -> None:
    one.nodes = two.nodes = [one.url, two.url]
    one.machine_token = "rly_mach_newer"
    visit = await one.visit()
    assert visit.hello is not None
    assert visit.hello.renews
    assert visit.hello.knows_unavailable
    await visit.until(lambda: agent.enrolment.machine_token == "rly_mach_newer")
    one.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    visit.cut()
    assert (await two.visit()).token == "rly_mach_newer"
    await visit.until(lambda: agent.enrolment.machine_token == "rly_mach_newer")


async def test_a_node_that_it_heard_of_is_as_good_as_the_one_it_knew(agent: Served, one: Node, two: Node) -> None:
    one.nodes = [one.url, two.url]
    visit = await one.visit()
    await visit.hears(Beat)
    one.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    visit.cut()
    again = await two.visit()
    assert again.hello is not None
    assert again.hello.generation == 101


async def test_a_node_that_its_own_heard_of_later_is_as_good_as_the_one_it_knew(
    agent: Served, one: Node, two: Node
) -> None:
    one.nodes = [one.url]
    visit = await one.visit()
    await visit.tell(Nodes(nodes=[one.url, two.url]))
    await visit.until(lambda: agent.enrolment.nodes == (one.url, two.url))
    one.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    visit.cut()
    await two.visit()


async def test_it_beats_as_often_as_it_is_told_and_never_late(agent: Served, one: Node) -> None:
    one.beat_seconds = 7.0
    visit = await one.visit()
    await visit.until(lambda: sum(isinstance(message, Beat) for message in visit.messages) >= 3)
    beats = [slept for slept in agent.clock.slept if slept > 5]
    assert all(7.0 * (1 - timing.BEAT_JITTER) <= slept <= 7.0 for slept in beats)
    assert len(set(beats)) > 1


async def test_it_beats_as_often_as_an_operator_says_meanwhile(agent: Served, one: Node) -> None:
    visit = await one.visit()
    await visit.hears(Beat)
    await visit.tell(Pace(beat_seconds=2.0))
    told = len(visit.messages)
    await visit.until(lambda: sum(isinstance(message, Beat) for message in visit.messages[told:]) >= 3)
    paced = [slept for slept in agent.clock.slept if 2.0 * (1 - timing.BEAT_JITTER) <= slept <= 2.0]
    assert len(paced) >= 3


async def test_a_new_hostname_is_told_once_with_a_beat(agent: Served, one: Node) -> None:
    visit = await one.visit()
    agent.hostname = "studio.local"
    await visit.hears(Beat, lambda beat: beat.hostname == "studio.local")
    told = len(visit.messages)
    await visit.until(lambda: len(visit.messages) > told)
    assert visit.messages[told] == Beat()


async def test_told_to_stop_it_says_goodbye_and_closes(agent: Served, one: Node) -> None:
    visit = await one.visit()
    await visit.hears(Beat)
    leave = await agent.stopped()
    assert leave.exit == Exit.OK
    await visit.closed.wait()
    assert visit.messages[-1] == Bye()
    assert visit.close_code == Close.NORMAL


async def test_told_to_stop_while_its_hello_is_answered_it_still_says_goodbye(tmp_path: Path, one: Node) -> None:
    """The relay has admitted it already: without a goodbye it would show this machine for another ten seconds."""
    one.welcomes = False
    served = Served(tmp_path, [one])
    served.start()
    visit = await one.visit()
    stopping = asyncio.create_task(served.stopped())
    await asyncio.sleep(0)
    await visit.tell(one.welcome(visit))
    assert (await stopping).exit == Exit.OK
    assert visit.messages[-1] == Bye()


async def test_an_ephemeral_one_asks_to_be_removed_and_forgets_that_it_was(tmp_path: Path, one: Node) -> None:
    served = Served(tmp_path, [one])
    served.ephemeral = True
    served.start()
    visit = await one.visit()
    await visit.hears(Beat)
    await served.stopped()
    assert visit.messages[-1] == Bye(remove=True)
    assert served.profile.enrolment(served.url) is None


async def test_stopping_ends_its_programs(agent: Served, one: Node) -> None:
    visit = await one.visit()
    session = await open_session(visit, "/bin/sh", "-c", "echo $$; exec sleep 60")
    await visit.tell(attach_to(session))
    await visit.until(lambda: any(frame[0] == Kind.OUTPUT for frame in visit.frames))
    pid = next(int(frames.payload(frame)) for frame in visit.frames if frame[0] == Kind.OUTPUT)
    await agent.stopped()
    assert not alive(pid)


async def test_revoked_it_deletes_its_token_says_so_and_leaves_in_peace(agent: Served, one: Node) -> None:
    visit = await one.visit()
    await visit.close(Close.MACHINE_REVOKED, "machine-revoked")
    leave = await agent.leaves()
    assert leave.exit == Exit.OK
    assert "revoked" in leave.line
    assert (agent.enrolment.machine_token, agent.enrolment.revoked) == (None, True)
    assert agent.enrolment.instance_id == INSTANCE


async def test_revoked_while_it_was_away_it_hears_so_at_its_next_hello(agent: Served, one: Node) -> None:
    visit = await one.visit()
    one.close_at_hello = (Close.MACHINE_REVOKED, "machine-revoked")
    visit.cut()
    assert (await agent.leaves()).revoked
    assert len(one.visits) == 2


async def test_revoked_before_the_upgrade_is_the_same(agent: Served, one: Node) -> None:
    visit = await one.visit()
    one.refuses = (HTTPStatus.GONE, "machine-revoked")
    visit.cut()
    assert (await agent.leaves()).revoked
    assert agent.enrolment.revoked


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Close.BAD_TOKEN, Exit.DENIED),
        (Close.FORBIDDEN, Exit.DENIED),
        (Close.PROTOCOL_ERROR, Exit.FAILURE),
        (Close.UNSUPPORTED_VERSION, Exit.CONFIGURATION),
    ],
)
async def test_what_is_final_ends_it_and_leaves_its_token_alone(
    agent: Served, one: Node, code: Close, expected: Exit
) -> None:
    visit = await one.visit()
    await visit.close(code, code.reason)
    assert (await agent.leaves()).exit == expected
    assert agent.enrolment.machine_token == "rly_mach_token"
    assert len(one.visits) == 1


async def test_replaced_it_parks_says_why_and_exits_76_when_told_to_stop(agent: Served, one: Node) -> None:
    visit = await one.visit()
    with structlog.testing.capture_logs() as logs:
        await visit.close(Close.REPLACED, "replaced")
        await agent.clock.until(lambda: any("took over" in entry["event"] for entry in logs))
    assert len(one.visits) == 1
    assert (await agent.stopped()).exit == Exit.REPLACED


@pytest.mark.parametrize("code", [Close.OVER_CAPACITY, Close.RATE_LIMITED, Close.SLOW_CONSUMER, Close.UNAVAILABLE])
async def test_asked_to_back_off_it_waits_longer_than_for_a_lost_network(agent: Served, one: Node, code: Close) -> None:
    visit = await one.visit()
    await visit.close(code, code.reason)
    await one.visit(2)
    (waited,) = agent.waits
    assert waited >= timing.AGENT_BACK_OFF_SECONDS[2] / 2


@pytest.mark.parametrize("code", [Close.DRAINING, Close.NO_PONG, Close.BUS_GAP, Close.KICKED])
async def test_asked_to_come_back_soon_it_does_within_a_second_and_not_at_once(
    agent: Served, one: Node, code: Close
) -> None:
    for number in range(1, 5):
        visit = await one.visit(number)
        await visit.close(code, code.reason)
    await one.visit(5)
    assert all(0 < wait <= 1 for wait in agent.waits)
    assert len(set(agent.waits)) == 4


@pytest.mark.parametrize(
    "end", [lambda v: v.cut(), lambda v: v.close(1001), lambda v: v.close(1011), lambda v: v.close(1009)]
)
async def test_any_other_end_brings_it_back(agent: Served, one: Node, end: Callable[[Visit], object]) -> None:
    visit = await one.visit()
    result = end(visit)
    if asyncio.iscoroutine(result):
        await result
    again = await one.visit(2)
    assert again.hello is not None
    assert again.hello.generation == 101


async def test_nodes_that_die_under_it_one_after_the_other_cost_the_first_steps_and_never_the_long_ones(
    agent: Served, one: Node
) -> None:
    for number in range(1, 7):
        (await one.visit(number)).cut()
    await one.visit(7)
    steps = timing.AGENT_BACK_OFF_SECONDS
    assert len(agent.waits) == 6
    assert agent.waits[0] <= steps[0]
    assert agent.waits[1] <= steps[1]
    assert all(wait <= steps[2] for wait in agent.waits[2:])


async def test_a_relay_that_cannot_be_reached_is_tried_again_and_again(agent: Served, one: Node) -> None:
    visit = await one.visit()
    one.refuses = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
    visit.cut()
    await agent.clock.until(lambda: len(agent.waits) >= 4)
    one.refuses = None
    await one.visit(2)


async def test_a_busy_node_is_come_back_to_when_it_said_and_the_log_says_why(agent: Served, one: Node) -> None:
    visit = await one.visit()
    one.refuses, one.refusal_headers = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"), {"Retry-After": "3"}
    with structlog.testing.capture_logs() as logs:
        visit.cut()
        await agent.clock.until(lambda: len(agent.waits) >= 4)
    one.refuses = None
    await one.visit(2)
    _after_the_cut, *waits = agent.waits
    assert all(3.0 <= wait <= 3.0 * 1.2 for wait in waits)
    assert len(set(waits)) == len(waits)
    told = [entry for entry in logs if "asks to come back in 3 s" in entry.get("why", "")]
    assert [entry["event"] for entry in told[:2]] == ["not connected", "not connected"]
    assert told[0]["again_in"] == f"{waits[0]:.1f} s"


async def test_busy_nodes_are_all_asked_but_a_turn_is_kept_where_it_was_given(
    agent: Served, one: Node, two: Node
) -> None:
    one.nodes = [one.url, two.url]
    visit = await one.visit()
    await visit.hears(Beat)
    for node, seconds in ((one, "3"), (two, "4")):
        node.refuses, node.refusal_headers = (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"), {"Retry-After": seconds}
    asked: list[tuple[int, int]] = []
    visit.cut()
    for times in range(2, 6):
        await agent.clock.until(lambda times=times: len(agent.waits) >= times)  # type: ignore[misc]
        asked.append((one.refusals, two.refusals))
    assert asked == [(1, 1), (2, 1), (3, 2), (4, 2)]
    two.refuses = None
    await two.visit()


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.GONE])
async def test_a_proxy_that_refuses_in_the_relays_place_does_not_end_it(
    agent: Served, one: Node, status: HTTPStatus
) -> None:
    visit = await one.visit()
    one.refuses, one.refusal_headers = (status, "machine-revoked"), {"Content-Type": "text/html"}
    visit.cut()
    await agent.clock.until(lambda: len(agent.waits) >= 3)
    one.refuses = None
    await one.visit(2)
    assert agent.enrolment.machine_token == "rly_mach_token"


async def test_a_node_that_never_says_welcome_is_left(
    agent: Served, one: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HELLO_SECONDS", 0.05)
    visit = await one.visit()
    one.welcomes = False
    visit.cut()
    second = await one.visit(2)
    await second.closed.wait()
    one.welcomes = True
    await one.visit(3)


async def test_what_a_newer_node_says_beyond_our_words_is_ignored(agent: Served, one: Node) -> None:
    visit = await one.visit()
    await visit.connection.send('{"type": "news", "of": "tomorrow"}', text=True)
    await visit.connection.send("not even JSON", text=True)
    await visit.give(b"no frame")
    await visit.tell(Notice(code="shadowed", message="another machine took the name"))
    await visit.tell(ErrorMessage(code="invalid", message="what?"))
    assert (await visit.ask("sessions")).result == {"sessions": []}
