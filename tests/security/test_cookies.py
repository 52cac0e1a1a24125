"""Shows what the cookie is like, and when it ends."""

from __future__ import annotations

from pathlib import Path

import httpx2

from relay.rules import timing
from tests.support.valkey import Valkey
from tests.web.site import URL, Site, open_site

DAY_SECONDS = 86_400


async def sign_in(site: Site, held: str | None = None) -> httpx2.Response:
    """A sign-in with a fresh link of the owner's, in a browser that holds a cookie or none."""
    url = site.parts.settings.public_url
    async with site.client(cookie=held, origin=url) as client:
        return await client.post("/api/sign-in", json={"secret": await site.link(site.owner)})


def attributes(response: httpx2.Response) -> list[str]:
    """What the cookie says of itself, its value aside."""
    (header,) = response.headers.get_list("set-cookie")
    return sorted(word.strip().lower() for word in header.split(";")[1:])


async def works(site: Site, held: str) -> bool:
    """Whether a cookie still signs somebody in."""
    async with site.client(cookie=held) as client:
        return (await client.get("/api/me")).status_code == 200


async def test_it_is_out_of_reach_for_scripts_other_sites_and_other_hosts(site: Site) -> None:
    age = timing.SIGN_IN_DAYS * DAY_SECONDS
    assert attributes(await sign_in(site)) == ["httponly", f"max-age={age}", "path=/", "samesite=strict"]


async def test_behind_tls_it_never_travels_without(tmp_path: Path, valkey: Valkey) -> None:
    async with open_site(tmp_path, valkey, public_url="https://relay.test") as site:
        signed_in = await sign_in(site)
        async with site.client(cookie=signed_in.cookies["relay_session"], origin="https://relay.test") as client:
            signed_out = await client.post("/api/sign-out", json={})
    assert "secure" in attributes(signed_in)
    assert {"secure", "httponly", "path=/", "samesite=strict", "max-age=0"} <= set(attributes(signed_out))


async def test_each_sign_in_has_a_new_one_and_the_one_before_ends(site: Site) -> None:
    """One that somebody planted is worth nothing once its victim has signed in."""
    first = (await sign_in(site)).cookies["relay_session"]
    second = (await sign_in(site, first)).cookies["relay_session"]
    assert first != second
    assert not await works(site, first)
    assert await works(site, second)


async def test_a_cookie_that_means_nothing_is_no_hindrance_to_a_sign_in(site: Site) -> None:
    response = await sign_in(site, "rly_web_nonsense")
    assert response.status_code == 200
    assert await works(site, response.cookies["relay_session"])


async def test_another_browser_of_the_same_person_stays_signed_in(site: Site) -> None:
    laptop = (await sign_in(site)).cookies["relay_session"]
    phone = (await sign_in(site)).cookies["relay_session"]
    async with site.client(cookie=phone, origin=URL) as client:
        assert (await client.post("/api/sign-out", json={})).status_code == 200
    assert not await works(site, phone)
    assert await works(site, laptop)


async def test_of_two_cookies_of_that_name_none_can_be_smuggled_past_the_other(site: Site) -> None:
    """A sibling host can plant one for the whole domain; whichever is read, it has to be a good one."""
    held = (await sign_in(site)).cookies["relay_session"]
    async with site.client() as client:
        both = f"relay_session=rly_web_planted; relay_session={held}"
        one = await client.get("/api/me", headers={"cookie": both})
        other = await client.get("/api/me", headers={"cookie": f"relay_session={held}; relay_session=rly_web_planted"})
    assert {one.status_code, other.status_code} <= {200, 401}
    assert {one.status_code, other.status_code} == {200, 401}  # one of the two is read, always the same
