"""Shows what a node does with peers that are wrong in ways that take a story; the others are in `tests/hostile`."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.rules import frames, ids, limits
from relay.rules.frames import Header, Kind
from tests.support.bare import BareMachine, a_session, bare, bare_browser, output
from tests.support.cluster import Rest, Team

NOBODY = str(uuid4())
PROTOCOL_ERROR = (4005, "protocol-error")


@pytest.fixture
def machine(team: Team) -> BareMachine:
    """A machine without an agent yet."""
    return BareMachine(team, "bare")


def test_data_before_the_welcome_is_a_protocol_error(team: Team, machine: BareMachine) -> None:
    """Also when it follows the hello at once."""
    for before in ([], [machine.hello()]):
        with bare(team.owner.url, "/ws/agent", machine.token) as agent:
            for message in before:
                agent.say(**message)
            agent.frame(output(a_session(), 1), b"x")
            assert agent.is_closed() == PROTOCOL_ERROR


def test_a_frame_over_its_limit_closes_with_1009(team: Team, machine: BareMachine) -> None:
    """The limit counts the header."""
    session = a_session()
    with machine.agent(team.owner.url, session) as agent:
        agent.frame(output(session, 1), bytes(limits.FRAME_BYTES - frames.HEADER_BYTES))
        agent.frame(output(session, 2), bytes(limits.FRAME_BYTES - frames.HEADER_BYTES + 1))
        assert agent.is_closed()[0] == 1009


def test_input_for_a_session_that_is_not_yours_is_refused_and_reaches_nobody(team: Team, machine: BareMachine) -> None:
    """Neither a guess of the attachment number nor somebody else's helps; the socket stays."""
    session = a_session()
    with (
        machine.agent(team.owner.url, session) as agent,
        bare_browser(team.owner.url, team.owner.token) as mine,
        bare_browser(team.owner.url, team.owner.token) as other,
    ):
        mine.say(type="attach", ref=1, machine=machine.id, session=session["id"])
        number = agent.hears("attach")["attachment"]
        other.frame(Header(Kind.INPUT, 0, number, 1, ids.raw(session["id"]), 1), b"stolen")
        assert other.hears("error")["code"] == "not-attached"
        mine.frame(Header(Kind.INPUT, 0, number, 1, ids.raw(session["id"]), 1), b"typed")
        _header, payload = agent.hears_frame()
        assert payload == b"typed"


def test_a_session_that_a_machine_does_not_have_is_not_found_and_the_socket_stays(
    team: Team, machine: BareMachine
) -> None:
    """Also when the machine is there to be asked."""
    with machine.agent(team.owner.url), bare_browser(team.owner.url, team.owner.token) as browser:
        for ref in (1, 2):
            browser.say(type="attach", ref=ref, machine=machine.id, session=NOBODY)
            assert browser.hears("error", ref=ref)["code"] == "not-found"


def test_a_machine_that_is_offline_says_so_with_when_it_was_seen(team: Team, machine: BareMachine) -> None:
    """The request fails at once; nobody waits thirty seconds for it."""
    with machine.agent(team.owner.url) as agent:
        agent.say(type="bye")
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.say(type="open", ref=1, machine=machine.id)
        error = browser.hears("error", ref=1)
        assert error["code"] == "offline"
        assert error["lastSeenAt"] in error["message"]


def test_an_older_registration_of_a_machine_is_told_that_it_was_replaced(team: Team, machine: BareMachine) -> None:
    """The highest token version that said hello wins; a lower one gets 4004."""
    old = machine.token
    again = Rest(team.owner.url, team.key)(
        "POST", "/api/machines", {"name": "bare", "hostname": "h", "version": "1", "instanceId": machine.instance}
    )
    machine.token = again["machineToken"]
    assert again["machine"]["id"] == machine.id
    with machine.agent(team.owner.url), bare(team.cluster.urls[1], "/ws/agent", old) as agent:
        agent.say(**machine.hello())
        assert agent.is_closed() == (4004, "replaced")


def test_the_same_installation_on_a_new_socket_closes_the_old_one_with_4200_and_another_with_4004(
    team: Team, machine: BareMachine
) -> None:
    """Across nodes: a reconnect is not a takeover."""
    with machine.agent(team.cluster.urls[0]) as first, machine.agent(team.cluster.urls[1]) as second:
        assert first.is_closed() == (4200, "draining")
        machine.instance = str(uuid4())
        with machine.agent(team.cluster.urls[0]):
            assert second.is_closed() == (4004, "replaced")
