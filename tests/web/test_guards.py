"""Shows what is refused before anybody looks at it, and the headers on every answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from relay.web.guards import KnownHosts
from tests.support.valkey import Valkey
from tests.web.site import URL, Caller, Site, open_site


@pytest.mark.parametrize("host", ["evil.test", "relay.test:81", "relay.test.evil.test", "127.0.0.1"])
async def test_a_host_that_is_not_ours_is_refused(site: Site, owner: Caller, host: str) -> None:
    async with site.client(owner.token, host=host) as client:
        response = await client.get("/api/machines")
    assert (response.status_code, response.json()["code"]) == (421, "unknown-host")


async def test_a_host_is_compared_without_its_case(site: Site, owner: Caller) -> None:
    async with site.client(owner.token, host="RELAY.test") as client:
        assert (await client.get("/api/me")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_call_a_node_by_its_address(site: Site, path: str) -> None:
    async with site.client(host="10.0.0.7:8000") as client:
        assert (await client.get(path)).status_code == 200


async def test_a_socket_for_another_host_is_refused_before_its_handshake() -> None:
    said: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the guard let it pass")

    async def receive() -> Message:
        raise AssertionError("nothing to be received")

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": "/ws/browser", "headers": [(b"host", b"evil.test")]}
    await KnownHosts(app, ["relay.test"])(scope, receive, send)
    assert [message["type"] for message in said] == ["websocket.close"]


@pytest.mark.parametrize("path", ["/api/me", "/api/machines", "/healthz", "/api/nothing", "/api/openapi.json"])
async def test_every_answer_keeps_browsers_careful(site: Site, path: str) -> None:
    async with site.client() as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "strict-transport-security" not in headers  # this site is reached over http


async def test_a_site_behind_tls_says_so_and_marks_its_cookie(tmp_path: Path, valkey: Valkey) -> None:
    async with open_site(tmp_path, valkey, public_url="https://relay.test") as site, site.client() as client:
        response = await client.post("/api/sign-in", json={"secret": await site.link(site.owner)})
    assert response.headers["strict-transport-security"] == "max-age=31536000"
    assert "; secure" in response.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": URL}, 201),
        ({"origin": "http://relay.test:8001"}, 403),
        ({"origin": "https://relay.test"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 201),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "https://evil.test", "sec-fetch-site": "same-origin"}, 403),
    ],
)
async def test_a_write_with_a_cookie_must_come_from_a_page_of_ours(
    site: Site, headers: dict[str, str], status: int
) -> None:
    async with site.client() as client:
        signed_in = await client.post("/api/sign-in", json={"secret": await site.link(site.owner)})
    cookie = signed_in.headers["set-cookie"].partition("=")[2].partition(";")[0]
    async with site.client(cookie=cookie, **headers) as client:
        response = await client.post("/api/workspaces", json={"name": "mine"})
        assert response.status_code == status
        assert (await client.get("/api/me")).status_code == 200  # reading changes nothing


async def test_a_program_with_a_token_needs_no_origin(owner: Caller) -> None:
    assert (await owner.ask("POST", "/api/workspaces", {"name": "mine"})).status_code == 201


async def test_a_foreign_page_cannot_write_even_with_a_token(site: Site, owner: Caller) -> None:
    async with site.client(owner.token, origin="https://evil.test") as client:
        assert (await client.post("/api/workspaces", json={"name": "mine"})).status_code == 403


async def test_a_bearer_token_counts_before_a_cookie(site: Site, owner: Caller) -> None:
    async with site.client(owner.token, cookie="rly_web_nonsense") as client:
        assert (await client.get("/api/me")).status_code == 200


@pytest.mark.parametrize("authorization", ["Basic b2xnYTpv", "Bearer", "Bearer rly_pat_x", "rly_pat_x", ""])
async def test_what_is_no_bearer_token_is_refused(site: Site, authorization: str) -> None:
    async with site.client(authorization=authorization) as client:
        response = await client.get("/api/me")
    assert (response.status_code, response.json()["code"]) == (401, "bad-token")


async def test_a_token_in_the_cookie_or_a_cookie_of_another_kind_is_refused(site: Site, owner: Caller) -> None:
    """A personal token in a cookie would be a credential that scripts of the page had touched."""
    async with site.client(cookie=owner.token) as client:
        assert (await client.get("/api/me")).status_code == 401


async def test_a_page_of_another_node_may_ask_with_its_cookie_and_no_other_page_may(site: Site) -> None:
    async with site.client(origin=URL) as client:
        ours = await client.get("/api/me")
    async with site.client(origin="https://evil.test") as client:
        foreign = await client.get("/api/me")
    assert ours.headers["access-control-allow-origin"] == URL
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in foreign.headers
