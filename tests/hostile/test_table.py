"""Shows, row by row, what a node does with hostile peers: an exact code each, counted, and no neighbour notices."""

from __future__ import annotations

import json

import pytest

from tests.hostile.attacker import Attacker
from tests.hostile.cases import CASES, Binary, Case, Closed, Ignored, Raw, Refused, Text
from tests.hostile.neighbours import Neighbours
from tests.support.bare import Bare, bare, bare_browser
from tests.support.metrics import Metrics

CLOSED = "relay_sockets_closed"


def tries(case: Case, peer: Bare, machine: Attacker) -> None:
    """Send what the row says."""
    match case.sent_by(machine):
        case Text(text):
            peer.text(text)
        case Binary(data):
            peer.raw(data)
        case Raw(data):
            peer.socket.socket.sendall(data)


def is_answered(case: Case, peer: Bare, metrics: Metrics) -> None:
    """Exactly as the row says."""
    match case.answer:
        case Closed(code, reason):
            closed = peer.is_closed()
            assert closed[0] == code
            assert reason is None or closed[1] == reason
            metrics.reaches(1, CLOSED, role=case.role, code=str(code))
        case Refused(code, ref):
            error = json.loads(peer.socket.recv(15))
            assert (error["type"], error["code"], error.get("ref")) == ("error", code, ref)
            stays(case, peer)
        case Ignored():
            stays(case, peer)


def stays(case: Case, peer: Bare) -> None:
    """The socket works, and nothing was said on it meanwhile: the next thing is the answer to this."""
    if case.role == "browser":
        peer.say(type="ping", at=1)
        assert json.loads(peer.socket.recv(15)) == {"type": "pong", "at": 1}
    else:
        peer.socket.ping().wait(15)
        with pytest.raises(TimeoutError):
            peer.socket.recv(0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_message_is_answered_by_its_code_and_nobody_else_notices(
    case: Case, attacked: str, metrics: Metrics, machine: Attacker, neighbours: Neighbours
) -> None:
    token = machine.token if case.role == "agent" else machine.team.owner.token
    if case.when == "first":
        at_the_door = bare(attacked, f"/ws/{case.role}", token)
    else:
        at_the_door = machine.agent(attacked) if case.role == "agent" else bare_browser(attacked, token)
    with at_the_door as peer:
        neighbours.prints()
        tries(case, peer, machine)
        is_answered(case, peer, metrics)
    neighbours.hears()


def test_no_row_is_there_twice() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
