"""Shows what a foreign page can do with the cookie of somebody who is signed in: nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from relay.web.call import WRITES, Call
from relay.web.site import CALLS
from tests.web.site import URL, Caller, Site

NOBODY = "8f23c1d2-0000-4000-8000-000000000000"
WRITING = [call for call in CALLS if call.method in WRITES]
READING = [call for call in CALLS if call.method == "GET"]
FOREIGN: dict[str, dict[str, str]] = {
    "no proof": {},
    "another site": {"origin": "https://evil.test"},
    "a page without an origin": {"origin": "null"},
    "another port": {"origin": f"{URL}:8443"},
    "another scheme": {"origin": URL.replace("http:", "https:")},
    "a subdomain": {"origin": URL.replace("://", "://evil.")},
    "a longer name": {"origin": URL + ".evil.test"},
    "another case": {"origin": URL.upper()},
    "a path": {"origin": URL + "/"},
    "a prefix": {"origin": URL[:-1]},
    "two origins": {"origin": f"{URL} https://evil.test"},
    "a page of the same site": {"sec-fetch-site": "same-site"},
    "a page of another site": {"sec-fetch-site": "cross-site"},
    "a link from outside": {"sec-fetch-site": "none"},
    "a lie about the site": {"origin": "https://evil.test", "sec-fetch-site": "same-origin"},
}


def path_of(call: Call) -> str:
    """The path with ids of nobody in it."""
    return re.sub(r"\{\w+\}", NOBODY, call.path)


async def cookie(site: Site) -> str:
    """The cookie of the owner's browser."""
    async with site.client(origin=URL) as client:
        signed_in = await client.post("/api/sign-in", json={"secret": await site.link(site.owner)})
    found: str = signed_in.cookies["relay_session"]
    return found


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_no_call_that_changes_anything_takes_the_cookie_from_a_foreign_page(
    site: Site, headers: dict[str, str]
) -> None:
    """Every one of the table, so that a new one is not forgotten; the cookie is still good afterwards."""
    taken = []
    async with site.client(cookie=await cookie(site), **headers) as client:
        for call in WRITING:
            response = await client.request(call.method, path_of(call), json={})
            if (response.status_code, response.json()["code"]) != (403, "forbidden"):
                taken.append((call.method, call.path, response.status_code))
        assert taken == []
        assert (await client.get("/api/me")).status_code == 200


async def test_the_same_calls_are_heard_from_a_page_of_ours(site: Site) -> None:
    """So much for the test above: it was the origin that was refused."""
    async with site.client(cookie=await cookie(site), origin=URL) as client:
        for call in WRITING:
            if call.path != "/api/sign-out":
                response = await client.request(call.method, path_of(call), json={})
                assert "another origin" not in response.text, call.path


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_a_form_can_send_is_no_body_of_ours(site: Site, owner: Caller, kind: str) -> None:
    """A form needs no permission to be sent anywhere; JSON does."""
    async with site.client(owner.token, **{"content-type": kind}) as client:
        response = await client.post("/api/workspaces", content=b'{"name": "x"}')
    assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("origin", ["https://evil.test", "null", URL + ":1"])
async def test_no_answer_is_shown_to_a_foreign_page_with_or_without_a_question_before(site: Site, origin: str) -> None:
    asking = {"access-control-request-method": "DELETE", "access-control-request-headers": "content-type"}
    held = await cookie(site)
    for call in READING:
        async with site.client(cookie=held, origin=origin) as client:
            answered = await client.get(path_of(call))
        assert "access-control-allow-origin" not in answered.headers, call.path
    for call in WRITING:
        async with site.client(cookie=held, origin=origin, **asking) as client:
            preflight = await client.options(path_of(call))
        assert "access-control-allow-origin" not in preflight.headers, call.path


async def test_reading_changes_nothing(site: Site) -> None:
    """A foreign page can make a browser send any GET with the cookie, had it not `SameSite=Strict`."""
    async with site.client(cookie=await cookie(site), **{"sec-fetch-site": "cross-site"}) as client:
        before = await everything(client, site)
        for call in READING:
            await client.get(path_of(call))
        assert await everything(client, site) == before


async def everything(client: Any, site: Site) -> list[Any]:
    """What there is of the workspace."""
    paths = (f"/api/workspaces/{site.workspace}/{part}" for part in ("members", "keys", "invitations", "audit"))
    return [(await client.get(path)).json() for path in paths]
