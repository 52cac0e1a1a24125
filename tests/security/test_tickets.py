"""Shows that a ticket opens one socket, once, soon, on any node, and says nothing else about its holder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.bare import bare
from tests.support.cluster import Team
from tests.web.site import Caller, Site


def enter(url: str, ticket: str) -> bool:
    """Whether a ticket opens a socket there."""
    with bare(url, "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
        with suppress(ConnectionClosed):
            browser.say(type="hello", client="client-0001")
            browser.hears("welcome")
            return True
        assert browser.is_closed() == (4002, "bad-token")
        return False


def test_it_is_good_once_also_on_another_node_and_for_those_who_come_at_the_same_moment(team: Team) -> None:
    here, there = team.cluster.urls[:2]
    ticket = team.owner("POST", "/api/tickets")["ticket"]
    assert enter(there, ticket), "issued here, used there"
    assert not enter(there, ticket)
    assert not enter(here, ticket)
    ticket = team.owner("POST", "/api/tickets")["ticket"]
    with ThreadPoolExecutor(8) as crowd:
        entered = list(crowd.map(lambda number: enter((here, there)[number % 2], ticket), range(8)))
    assert entered.count(True) == 1


def test_it_is_void_once_its_holder_is_signed_out(team: Team) -> None:
    """It stands for the credential, not for the person."""
    viewer = team.person("Vera", "viewer")
    ticket = viewer("POST", "/api/tickets")["ticket"]
    viewer("POST", "/api/sign-out", {})
    assert not enter(team.cluster.urls[1], ticket)


@pytest.mark.parametrize("where", ["bearer", "cookie", "query"])
async def test_it_signs_nobody_in_anywhere_else(site: Site, owner: Caller, where: str) -> None:
    ticket = (await owner.ask("POST", "/api/tickets")).json()["ticket"]
    async with site.client(ticket if where == "bearer" else None, cookie=ticket if where == "cookie" else None) as it:
        response = await it.get("/api/me", params={"ticket": ticket} if where == "query" else None)
    assert (response.status_code, response.json()["code"]) == (401, "bad-token")


async def test_no_token_is_read_from_an_address(site: Site, owner: Caller) -> None:
    """Addresses end up in logs, histories and on the way to other sites."""
    async with site.client() as client:
        for name in ("token", "access_token", "ticket", "key", "authorization", "relay_session"):
            assert (await client.get("/api/me", params={name: owner.token})).status_code == 401
            assert (await client.get("/api/machines", params={name: owner.token})).status_code == 401
