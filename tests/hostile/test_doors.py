"""Shows, row by row, how those are turned away who may not come in at all, and that no neighbour notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from relay.errors import Close
from tests.hostile.attacker import Attacker
from tests.hostile.neighbours import Neighbours
from tests.hostile.requests import sign_in
from tests.support.bare import bare
from tests.support.cluster import Cluster
from tests.support.metrics import Metrics

CLOSED = "relay_sockets_closed"


class Wallet:
    """Everything that somebody could show at a door, rightly or wrongly."""

    def __init__(self, machine: Attacker, url: str) -> None:
        self.url = url
        self.machine = machine
        self.owner = machine.team.owner.on(url)

    @property
    def person(self) -> str:
        """A personal token."""
        return self.owner.token

    @property
    def mangled(self) -> str:
        """A machine token with another last letter."""
        token = self.machine.token
        return token[:-1] + ("0" if token[-1] != "0" else "1")

    def ticket(self) -> str:
        """A fresh ticket."""
        return str(self.owner("POST", "/api/tickets")["ticket"])

    def used_ticket(self) -> str:
        """One that let somebody in before."""
        ticket = self.ticket()
        with bare(self.url, "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
            browser.say(type="hello", client="a-client-id")
            browser.hears("welcome")
        return ticket

    def cookie(self) -> str:
        """That of a browser which is signed in."""
        link = self.owner("POST", "/api/sign-in-links")["url"]
        return sign_in(self.url, link.partition("#sign-in=")[2])


Shown = Callable[[Wallet], dict[str, Any]]


@dataclass(frozen=True)
class Door:
    """One row: where somebody knocks, what they show, and the close or the HTTP status that answers it."""

    what: str
    role: str
    shows: Shown = field(default=lambda wallet: {"token": None})
    close: Close = Close.BAD_TOKEN
    status: int | None = None


def words(*more: str) -> tuple[str, ...]:
    """What is offered to speak, and the ticket that may be among it."""
    return ("relay.v1", *more)


DOORS = [
    Door("no token", "agent"),
    Door("a token of nobody's making", "agent", lambda wallet: {"token": "rly_mach_nonsense"}),
    Door("a token with another last letter", "agent", lambda wallet: {"token": wallet.mangled}),
    Door("a workspace key", "agent", lambda wallet: {"token": wallet.machine.team.key}),
    Door("a personal token", "agent", lambda wallet: {"token": wallet.person}),
    Door("a token of ten thousand letters", "agent", lambda wallet: {"token": "rly_mach_" + "x" * 10_000}),
    Door(
        "a token in the query",
        "agent?token=x",
        lambda wallet: {"token": None},
    ),
    Door("no credential", "browser"),
    Door("a personal token of nobody's", "browser", lambda wallet: {"token": "rly_pat_nonsense"}),
    Door("a machine token", "browser", lambda wallet: {"token": wallet.machine.token}),
    Door("a used ticket", "browser", lambda wallet: {"token": None, "subprotocols": words(wallet.used_ticket())}),
    Door("a ticket of nobody's", "browser", lambda wallet: {"token": None, "subprotocols": words("rly_tick_nonsense")}),
    Door("a ticket in the query", "browser?ticket=x", lambda wallet: {"token": None}),
    Door(
        "a cookie from a foreign page",
        "browser",
        lambda wallet: {"token": None, "headers": {"cookie": wallet.cookie()}, "origin": "http://evil.test"},
        Close.FORBIDDEN,
    ),
    Door(
        "a cookie from a page whose name begins like ours",
        "browser",
        lambda wallet: {"token": None, "headers": {"cookie": wallet.cookie()}, "origin": wallet.url + ".evil.test"},
        Close.FORBIDDEN,
    ),
    Door(
        "a cookie from a page without an origin",
        "browser",
        lambda wallet: {"token": None, "headers": {"cookie": wallet.cookie()}, "origin": "null"},
        Close.FORBIDDEN,
    ),
    Door(
        "a cookie and no Origin",
        "browser",
        lambda wallet: {"token": None, "headers": {"cookie": wallet.cookie()}},
        Close.FORBIDDEN,
    ),
    Door("a cookie of nobody's", "browser", lambda wallet: {
        "token": None, "headers": {"cookie": "relay_session=rly_web_nonsense"}, "origin": wallet.url,
    }),
    Door(
        "a later version",
        "browser",
        lambda wallet: {"token": wallet.person, "subprotocols": ("relay.v2",)},
        Close.UNSUPPORTED_VERSION,
    ),
    Door(
        "a later version",
        "agent",
        lambda wallet: {"token": wallet.machine.token, "subprotocols": ("relay.v2",)},
        Close.UNSUPPORTED_VERSION,
    ),
    Door(
        "a host that is not ours",
        "browser",
        lambda wallet: {"token": wallet.person, "headers": {"host": "evil.test"}},
        status=421,
    ),
    Door("a path that is not there", "stranger", lambda wallet: {"token": wallet.person}, status=403),
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.role}: {door.what}")
def test_whoever_may_not_come_in_reads_why_and_nobody_else_notices(
    door: Door, attacked: str, shared_cluster: Cluster, machine: Attacker, neighbours: Neighbours
) -> None:
    shown = door.shows(Wallet(machine, attacked))
    role = door.role.partition("?")[0]
    metrics = Metrics(shared_cluster, attacked)  # what it shows may have been used before
    neighbours.prints()
    if door.status is not None:
        with pytest.raises(InvalidStatus) as refused, bare(attacked, f"/ws/{door.role}", **shown):
            pass
        assert refused.value.response.status_code == door.status
    else:
        with bare(attacked, f"/ws/{door.role}", **shown) as peer:
            assert peer.is_closed() == (door.close, door.close.reason)
        metrics.reaches(1, CLOSED, role=role, code=str(int(door.close)))
    neighbours.hears()


def test_a_cookie_from_our_own_page_lets_its_browser_in(attacked: str, machine: Attacker) -> None:
    """Or the rows above would prove nothing."""
    cookie = Wallet(machine, attacked).cookie()
    with bare(attacked, "/ws/browser", None, headers={"cookie": cookie}, origin=attacked) as browser:
        browser.say(type="hello", client="a-client-id")
        browser.hears("welcome")
