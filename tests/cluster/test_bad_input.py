"""Shows what a node does with peers that are wrong: an exact code or error each, and an unaffected neighbour."""

from __future__ import annotations

import json
import socket
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from relay.rules import frames, ids, limits
from relay.rules.frames import Header, Kind
from tests.support.bare import BareMachine, a_session, attach, bare, bare_browser, output
from tests.support.cluster import Rest, Team

NOBODY = str(uuid4())
HELLO = {"type": "hello", "client": "a-client-id"}
PROTOCOL_ERROR = (4005, "protocol-error")


@pytest.fixture
def machine(team: Team) -> BareMachine:
    """A machine without an agent yet."""
    return BareMachine(team, "bare")


WRONG_FIRST_MESSAGES = {
    "not JSON": "{",
    "not an object": "[]",
    "no type": "{}",
    "an unknown type": '{"type":"nonsense"}',
    "a type of the wrong type": '{"type":7}',
    "a hello without its fields": '{"type":"hello"}',
    "a field of the wrong type": '{"type":"hello","client":7,"instance":7}',
    "deep nesting": '{"type":' + "[" * 5_000 + "]" * 5_000 + "}",
}


@pytest.mark.parametrize("text", WRONG_FIRST_MESSAGES.values(), ids=WRONG_FIRST_MESSAGES.keys())
def test_a_first_message_that_is_wrong_closes_either_socket_as_a_protocol_error(
    team: Team, machine: BareMachine, text: str
) -> None:
    """4005, whatever is wrong with it."""
    for path, token in (("/ws/browser", team.owner.token), ("/ws/agent", machine.token)):
        with bare(team.owner.url, path, token) as peer:
            peer.text(text)
            assert peer.is_closed() == PROTOCOL_ERROR


def test_a_beat_before_hello_is_a_protocol_error(team: Team, machine: BareMachine) -> None:
    """Nothing but hello is first."""
    with bare(team.owner.url, "/ws/agent", machine.token) as agent:
        agent.say(type="beat")
        assert agent.is_closed() == PROTOCOL_ERROR


def test_data_before_the_welcome_is_a_protocol_error(team: Team, machine: BareMachine) -> None:
    """Also when it follows the hello at once."""
    for before in ([], [machine.hello()]):
        with bare(team.owner.url, "/ws/agent", machine.token) as agent:
            for message in before:
                agent.say(**message)
            agent.frame(output(a_session(), 1), b"x")
            assert agent.is_closed() == PROTOCOL_ERROR


def test_a_second_hello_is_a_protocol_error(team: Team, machine: BareMachine) -> None:
    """For agents and browsers."""
    with machine.agent(team.owner.url) as agent:
        agent.say(**machine.hello())
        assert agent.is_closed() == PROTOCOL_ERROR
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.say(**HELLO)
        assert browser.is_closed() == PROTOCOL_ERROR


def test_text_where_binary_is_due_and_the_reverse_are_protocol_errors(team: Team) -> None:
    """A frame sent as text is not JSON; JSON sent as binary is not a frame."""
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.text("\x10" + "\x00" * 31)
        assert browser.is_closed() == PROTOCOL_ERROR
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.raw(json.dumps({"type": "ping"}).encode())
        assert browser.is_closed() == PROTOCOL_ERROR


BAD_FRAMES = {
    "empty": b"",
    "shorter than a header": bytes(frames.HEADER_BYTES - 1),
    "of an unknown kind": bytes([255]) + bytes(31),
    "of a kind that only agents send": bytes([Kind.OUTPUT]) + bytes(31),
    "beyond the last sequence": frames.pack(Header(Kind.INPUT, 0, 1, 0, bytes(16), 2**53)),
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_header_is_a_protocol_error(team: Team, frame: bytes) -> None:
    """4005, and nothing of it reaches a machine."""
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.raw(frame)
        assert browser.is_closed() == PROTOCOL_ERROR


def test_a_frame_over_its_limit_closes_with_1009(team: Team, machine: BareMachine) -> None:
    """The limit counts the header."""
    session = a_session()
    with machine.agent(team.owner.url, session) as agent:
        agent.frame(output(session, 1), bytes(limits.FRAME_BYTES - frames.HEADER_BYTES))
        agent.frame(output(session, 2), bytes(limits.FRAME_BYTES - frames.HEADER_BYTES + 1))
        assert agent.is_closed()[0] == 1009


def test_a_control_message_over_its_limit_closes_with_1009(team: Team) -> None:
    """64 KiB, although a frame may be larger."""
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.say(type="ping", padding="x" * limits.CONTROL_BYTES)
        assert browser.is_closed()[0] == 1009


def test_text_that_is_not_utf_8_closes_with_1007(team: Team) -> None:
    """As the standard says."""
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.socket.send(b"\xff\xfe", text=True)
        assert browser.is_closed()[0] == 1007


def test_an_unknown_field_is_ignored_so_that_newer_peers_are_understood(team: Team) -> None:
    """One minor version ahead is not an error."""
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.say(type="ping", at=7, news=True)
        assert browser.hears("pong")["at"] == 7


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


def test_unknown_machines_sessions_and_workspaces_are_not_found_and_the_socket_stays(
    team: Team, machine: BareMachine
) -> None:
    """One error per request, under its ref."""
    with machine.agent(team.owner.url), bare_browser(team.owner.url, team.owner.token) as browser:
        asks = [
            {"type": "open", "machine": NOBODY},
            {"type": "attach", "machine": NOBODY, "session": NOBODY},
            {"type": "attach", "machine": machine.id, "session": NOBODY},
            {"type": "sessions", "machine": NOBODY},
            {"type": "end", "machine": NOBODY, "session": NOBODY},
            {"type": "subscribe", "workspace": NOBODY},
        ]
        for ref, ask in enumerate(asks):
            browser.say(ref=ref, **ask)
            assert browser.hears("error", ref=ref)["code"] == "not-found", ask


def test_a_machine_that_is_offline_says_so_with_when_it_was_seen(team: Team, machine: BareMachine) -> None:
    """The request fails at once; nobody waits thirty seconds for it."""
    with machine.agent(team.owner.url) as agent:
        agent.say(type="bye")
    with bare_browser(team.owner.url, team.owner.token) as browser:
        browser.say(type="open", ref=1, machine=machine.id)
        error = browser.hears("error", ref=1)
        assert error["code"] == "offline"
        assert error["lastSeenAt"] in error["message"]


def test_frames_of_a_session_that_was_not_announced_go_nowhere(team: Team, machine: BareMachine) -> None:
    """The agent is told, and stays connected."""
    with machine.agent(team.owner.url) as agent:
        agent.frame(output(a_session(), 1), b"x")
        assert agent.hears("error")["code"] == "not-found"


def test_a_bad_machine_token_closes_with_4002(team: Team, machine: BareMachine) -> None:
    """Malformed, signed by somebody else, of another kind, or none."""
    for token in ("rly_mach_nonsense", machine.token[:-1] + ("0" if machine.token[-1] != "0" else "1"), team.key, None):
        with bare(team.owner.url, "/ws/agent", token) as agent:
            assert agent.is_closed() == (4002, "bad-token")


def test_a_bad_browser_credential_closes_with_4002(team: Team) -> None:
    """Unknown, malformed, a used ticket, or none."""
    ticket = team.owner("POST", "/api/tickets")["ticket"]
    with bare(team.owner.url, "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
        browser.say(**HELLO)
        browser.hears("welcome")
    for words in (("relay.v1", ticket), ("relay.v1", "rly_tick_nonsense"), ("relay.v1",)):
        with bare(team.owner.url, "/ws/browser", None, subprotocols=words) as browser:
            assert browser.is_closed() == (4002, "bad-token")
    with bare(team.owner.url, "/ws/browser", "rly_pat_nonsense") as browser:
        assert browser.is_closed() == (4002, "bad-token")


def test_a_cookie_from_a_page_of_another_origin_closes_with_4003(team: Team) -> None:
    """The Origin must be exactly one of the cluster's."""
    link = team.owner("POST", "/api/sign-in-links")["url"]
    cookie = sign_in(team.owner, link.partition("#sign-in=")[2])
    for origin in ("http://evil.test", team.owner.url + ".evil.test", "null"):
        headers = {"cookie": cookie}
        with bare(team.owner.url, "/ws/browser", None, headers=headers, origin=origin) as browser:
            assert browser.is_closed() == (4003, "forbidden")
    with bare(team.owner.url, "/ws/browser", None, headers={"cookie": cookie}, origin=team.owner.url) as browser:
        browser.say(**HELLO)
        browser.hears("welcome")


def sign_in(rest: Rest, secret: str) -> str:
    """The cookie of a browser that followed a sign-in link."""
    host = rest.url.removeprefix("http://")
    body = json.dumps({"secret": secret})
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as connection:
        connection.sendall(
            f"POST /api/sign-in HTTP/1.1\r\nHost: {host}\r\nOrigin: {rest.url}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    line = next(line for line in answer.splitlines() if line.lower().startswith("set-cookie:"))
    return line.split(":", 1)[1].split(";")[0].strip()


def test_a_peer_that_does_not_speak_relay_v1_closes_with_4006(team: Team, machine: BareMachine) -> None:
    """The handshake succeeds, so that the peer can read why."""
    for path, token in (("/ws/browser", team.owner.token), ("/ws/agent", machine.token)):
        with bare(team.owner.url, path, token, subprotocols=("relay.v2",)) as peer:
            assert peer.is_closed() == (4006, "unsupported-version")


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


def test_a_host_that_is_not_ours_is_refused_before_any_handshake(team: Team) -> None:
    """Whatever name somebody points at the node."""
    with (
        pytest.raises(InvalidStatus) as refused,
        bare(team.owner.url, "/ws/browser", team.owner.token, headers={"host": "evil.test"}),
    ):
        pass
    assert refused.value.response.status_code in (400, 403, 421)


def test_a_neighbour_is_not_affected_by_any_of_this(team: Team, machine: BareMachine) -> None:
    """A hundred garbage sockets beside a working session."""
    session = a_session()
    with (
        machine.agent(team.owner.url, session) as agent,
        bare_browser(team.cluster.urls[1], team.owner.token) as browser,
    ):
        number = attach(browser, agent, machine, session)
        for _ in range(100):
            with bare(team.owner.url, "/ws/browser", team.owner.token) as hostile:
                hostile.text("garbage")
                assert hostile.is_closed() == PROTOCOL_ERROR
        agent.frame(output(session, 1), b"still here")
        _header, payload = browser.hears_frame()
        assert payload == b"still here"
        assert number == 1
