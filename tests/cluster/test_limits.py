"""Shows from outside what meets a named limit: an error or code that says which, a count, and nobody else pays."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from relay.rules import limits
from tests.support.bare import Bare, BareMachine, a_session, attach, bare, bare_browser, output
from tests.support.cluster import Rest, Team, running_cluster
from tests.support.metrics import Metrics
from tests.support.valkey import running

LIMITS = "relay_limits_reached"
CLOSED = "relay_sockets_closed"
SMALL_WINDOW_BYTES = 32 * limits.KIB  # so that the system keeps little of what a browser does not read
FRAME_BYTES = 128 * limits.KIB
FRAMES = 320  # 40 MiB: the outbox, what the system keeps anyhow, and much more
ANSWER_CHARACTERS = (
    30_000  # 64 of them are more than the margin that an outbox full of frames keeps for control messages
)
GROWTH_BYTES = 16 * limits.MIB  # of a node with one stalled browser: its outbox, and what passes through at the time
VISITS = 5  # not each of them meets the node at the very moment that matters
PROMPT_SECONDS = 2.0  # from one bare socket to another, on a busy computer


@pytest.fixture
def machine(team: Team) -> BareMachine:
    """A machine whose agent the test speaks for."""
    return BareMachine(team, "limited")


@pytest.fixture
def near(team: Team) -> str:
    """The node where the agent is."""
    return team.cluster.urls[0]


@pytest.fixture
def far(team: Team) -> str:
    """The node where the browsers are."""
    return team.cluster.urls[1]


@pytest.fixture
def metrics(team: Team, far: str) -> Metrics:
    """What the browsers' node counts from here on."""
    return Metrics(team.cluster, far)


def is_refused(browser: Bare, limit: str, ref: int) -> None:
    """The request is answered with the limit's name, and the socket stays open."""
    error = browser.hears("error")
    assert (error["code"], error["limit"], error["ref"]) == ("limit-reached", limit, ref)
    browser.say(type="ping", at=1)
    browser.hears("pong")


@contextmanager
def stalled(url: str, token: str) -> Iterator[Bare]:
    """A browser that has been welcomed and reads only when it is asked to."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        plain.connect((urlsplit(url).hostname, urlsplit(url).port))
        with bare(url, "/ws/browser", token, sock=plain, max_queue=1, close_timeout=1) as browser:
            browser.say(type="hello", client="a-stalled-browser")
            browser.hears("welcome")
            yield browser


def follower(team: Team) -> Rest:
    """Somebody with one workspace more than a browser may follow."""
    jane = team.person("jane", "member")
    for number in range(limits.SUBSCRIPTIONS_PER_BROWSER):
        jane("POST", "/api/workspaces", {"name": f"jane-{number}"})
    return jane


def test_a_browser_has_64_requests_under_way_and_the_next_is_refused_until_one_is_answered(
    team: Team, machine: BareMachine, near: str, far: str, metrics: Metrics
) -> None:
    with machine.agent(near) as agent, bare_browser(far, team.owner.token) as browser:
        for ref in range(limits.PENDING_PER_BROWSER + 1):
            browser.say(type="open", ref=ref, machine=machine.id)
        is_refused(browser, "PENDING_PER_BROWSER", limits.PENDING_PER_BROWSER)
        metrics.reaches(1, LIMITS, limit="PENDING_PER_BROWSER")
        asked = [agent.hears("request")["ref"] for _ in range(limits.PENDING_PER_BROWSER)]
        agent.say(type="answer", ref=asked[0], result={})
        browser.hears("result")
        browser.say(type="open", ref=100, machine=machine.id)
        agent.hears("request")


def test_a_browser_holds_64_attachments_and_the_next_is_refused_until_one_is_left(
    team: Team, machine: BareMachine, near: str, far: str, metrics: Metrics
) -> None:
    session = a_session()
    ask: dict[str, Any] = {"type": "attach", "machine": machine.id, "session": session["id"]}
    with machine.agent(near, session) as agent, bare_browser(far, team.owner.token) as browser:
        numbers = [attach(browser, agent, machine, session) for _ in range(limits.ATTACHMENTS_PER_BROWSER)]
        browser.say(ref=500, **ask)
        is_refused(browser, "ATTACHMENTS_PER_BROWSER", 500)
        metrics.reaches(1, LIMITS, limit="ATTACHMENTS_PER_BROWSER")
        browser.say(type="detach", session=session["id"], attachment=numbers[0])
        browser.hears("detached", reason="left")
        attach(browser, agent, machine, session)


def test_a_browser_follows_16_workspaces_and_the_next_is_refused_until_it_leaves_one(
    team: Team, far: str, metrics: Metrics
) -> None:
    jane = follower(team)
    workspaces = [each["id"] for each in jane("GET", "/api/workspaces")["workspaces"]]
    assert len(workspaces) == limits.SUBSCRIPTIONS_PER_BROWSER + 1
    with bare_browser(far, jane.token) as browser:
        for ref, workspace in enumerate(workspaces):
            browser.say(type="subscribe", ref=ref, workspace=workspace)
            if ref < limits.SUBSCRIPTIONS_PER_BROWSER:
                browser.hears("snapshot", ref=ref)
        is_refused(browser, "SUBSCRIPTIONS_PER_BROWSER", limits.SUBSCRIPTIONS_PER_BROWSER)
        metrics.reaches(1, LIMITS, limit="SUBSCRIPTIONS_PER_BROWSER")
        browser.say(type="unsubscribe", workspace=workspaces[0])
        browser.say(type="subscribe", ref=100, workspace=workspaces[-1])
        browser.hears("snapshot", ref=100)


def test_a_browser_that_leaves_while_its_workspaces_are_looked_at_takes_no_node_with_it(
    team: Team, machine: BareMachine, far: str
) -> None:
    """It leaves at the news from its first workspace, when the others have yet to be looked at."""
    jane = follower(team)
    others = [each["id"] for each in jane("GET", "/api/workspaces")["workspaces"] if each["id"] != team.workspace]
    workspaces = [team.workspace, *others][: limits.SUBSCRIPTIONS_PER_BROWSER]
    for visit in range(VISITS):
        with bare_browser(far, jane.token) as browser:
            for ref, workspace in enumerate(workspaces):
                browser.say(type="subscribe", ref=ref, workspace=workspace)
                browser.hears("snapshot", ref=ref)
            team.owner.on(far)("PATCH", f"/api/machines/{machine.id}", {"labels": {"visit": str(visit)}})
            browser.hears("machine")
    assert jane.on(far)("GET", "/api/me")["user"]["name"] == "jane"


def test_an_agents_257th_session_is_refused_and_its_connection_and_the_others_stay(
    team: Team, machine: BareMachine, near: str, far: str
) -> None:
    metrics = Metrics(team.cluster, near)
    sessions = [a_session() for _ in range(limits.SESSIONS_PER_MACHINE)]
    late = a_session()
    with machine.agent(near, *sessions) as agent, bare_browser(far, team.owner.token) as browser:
        agent.say(type="session", session=late)
        error = agent.hears("error")
        assert (error["code"], error["limit"]) == ("limit-reached", "SESSIONS_PER_MACHINE")
        assert error["session"] == late["id"]
        metrics.reaches(1, LIMITS, limit="SESSIONS_PER_MACHINE")
        attach(browser, agent, machine, sessions[-1])
        agent.say(type="session", session=sessions[0] | {"endedAt": 2.0})
        agent.say(type="session", session=late)
        agent.frame(output(a_session(), 1))  # its answer says that the node has heard all before it
        agent.hears("error", code="not-found")
        attach(browser, agent, machine, late)


def test_a_hello_with_257_sessions_breaks_the_documented_shape_and_is_a_protocol_error(
    team: Team, machine: BareMachine, near: str
) -> None:
    metrics = Metrics(team.cluster, near)
    with bare(near, "/ws/agent", machine.token) as agent:
        agent.say(**machine.hello(*[a_session() for _ in range(limits.SESSIONS_PER_MACHINE + 1)]))
        assert agent.is_closed() == (4005, "protocol-error")
    metrics.reaches(1, CLOSED, role="agent", code="4005")


def test_a_full_node_turns_newcomers_away_with_4100() -> None:
    """RELAY_SOCKETS, on a node that has room for one."""
    with running() as valkey, running_cluster(valkey, nodes=1, sweepers=0, settings={"RELAY_SOCKETS": "1"}) as cluster:
        url = cluster.urls[0]
        metrics = Metrics(cluster, url)
        with bare_browser(url, cluster.owner_token), bare(url, "/ws/browser", cluster.owner_token) as second:
            assert second.is_closed() == (4100, "over-capacity")
        metrics.reaches(1, LIMITS, limit="RELAY_SOCKETS")
        metrics.reaches(1, CLOSED, role="browser", code="4100")
        assert Rest(url, cluster.owner_token)("GET", "/api/me")["user"]


def test_a_node_in_a_hurry_says_503_and_when_to_come_back_whoever_asks() -> None:
    """RELAY_HANDSHAKES, on a node that takes one socket in a hundred seconds."""
    slow = {"RELAY_HANDSHAKES": "0.01"}
    with running() as valkey, running_cluster(valkey, nodes=1, sweepers=0, settings=slow) as cluster:
        url = cluster.urls[0]
        metrics = Metrics(cluster, url)
        with bare_browser(url, cluster.owner_token):
            for times, word in enumerate(("relay.v1", "relay.v9"), 1):
                with (
                    pytest.raises(InvalidStatus) as refused,
                    bare(url, "/ws/browser", cluster.owner_token, subprotocols=(word,)),
                ):
                    pass
                assert refused.value.response.status_code == 503
                assert 1 <= int(refused.value.response.headers["retry-after"]) <= 30
                metrics.reaches(times, LIMITS, limit="RELAY_HANDSHAKES")


def test_a_browser_that_does_not_read_is_told_that_it_is_behind_and_costs_its_neighbour_nothing(
    team: Team, machine: BareMachine, near: str, far: str, metrics: Metrics
) -> None:
    """40 MiB pass it by; the neighbour on the same node and session gets each frame promptly; memory stays bounded."""
    session = a_session()
    with (
        machine.agent(near, session) as agent,
        stalled(far, team.owner.token) as slow,
        bare_browser(far, team.owner.token) as neighbour,
    ):
        number = attach(slow, agent, machine, session)
        attach(neighbour, agent, machine, session)
        before = metrics.resident_bytes()
        for sequence in range(1, FRAMES + 1):
            sent_at = time.monotonic()
            agent.frame(output(session, sequence), bytes(FRAME_BYTES))
            assert neighbour.hears_frame()[0].sequence == sequence
            assert time.monotonic() - sent_at < PROMPT_SECONDS
        assert metrics.resident_bytes() - before < GROWTH_BYTES
        metrics.reaches(1, LIMITS, limit="OUTBOX_BYTES")
        agent.hears("detach", attachment=number)
        slow.hears("detached", attachment=number, reason="behind")
        attach(slow, agent, machine, session)


def test_a_browser_that_reads_neither_frames_nor_answers_is_closed_with_4102(
    team: Team, machine: BareMachine, near: str, far: str, metrics: Metrics
) -> None:
    """It finds the code behind what it had not read; its neighbour is answered meanwhile."""
    session = a_session()
    with (
        machine.agent(near, session) as agent,
        stalled(far, team.owner.token) as slow,
        bare_browser(far, team.owner.token) as neighbour,
    ):
        attach(slow, agent, machine, session)
        attach(neighbour, agent, machine, session)
        overwhelm(slow, neighbour, agent, machine, session)
        is_answered(neighbour, agent, machine)
        assert slow.is_closed() == (4102, "slow-consumer")
        metrics.reaches(1, CLOSED, role="browser", code="4102")


def test_a_browser_that_does_not_even_read_why_it_is_closed_is_dropped_within_seconds(
    team: Team, machine: BareMachine, near: str, far: str, metrics: Metrics
) -> None:
    """Nobody keeps a connection, or the memory behind it, by not reading."""
    session = a_session()
    with (
        machine.agent(near, session) as agent,
        stalled(far, team.owner.token) as slow,
        bare_browser(far, team.owner.token) as neighbour,
    ):
        attach(slow, agent, machine, session)
        attach(neighbour, agent, machine, session)
        before = metrics.resident_bytes()
        overwhelm(slow, neighbour, agent, machine, session)
        is_answered(neighbour, agent, machine)
        metrics.reaches(1, CLOSED, role="browser", code="4102")
        assert metrics.resident_bytes() - before < GROWTH_BYTES
        with pytest.raises(AssertionError, match="without a close frame"):
            slow.is_closed()


def overwhelm(slow: Bare, neighbour: Bare, agent: Bare, machine: BareMachine, session: dict[str, Any]) -> None:
    """Fill the outbox of a browser that does not read with frames, and then what is left of it with long answers. The
    neighbour sets the pace, so that the system has taken all it will when the outbox is full."""
    for ref in range(limits.PENDING_PER_BROWSER):
        slow.say(type="sessions", ref=ref, machine=machine.id)
    asked = [agent.hears("request")["ref"] for _ in range(limits.PENDING_PER_BROWSER)]
    for sequence in range(1, FRAMES + 1):
        agent.frame(output(session, sequence), bytes(FRAME_BYTES))
        assert neighbour.hears_frame()[0].sequence == sequence
    agent.hears("detach")
    for ref in asked:
        agent.say(type="answer", ref=ref, result={"sessions": [], "padding": "x" * ANSWER_CHARACTERS})


def is_answered(browser: Bare, agent: Bare, machine: BareMachine) -> None:
    """A question of this browser, whose answer comes promptly, and behind everything that the agent said before."""
    sent_at = time.monotonic()
    browser.say(type="sessions", ref=1, machine=machine.id)
    agent.say(type="answer", ref=agent.hears("request")["ref"], result={"sessions": []})
    browser.hears("result", ref=1)
    assert time.monotonic() - sent_at < PROMPT_SECONDS
