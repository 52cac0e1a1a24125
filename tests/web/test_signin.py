"""Shows how people sign in, join and sign out."""

from __future__ import annotations

import httpx2
import pytest

from relay.registry import Person
from tests.web.site import URL, Caller, Site


async def post(site: Site, path: str, body: object, **client: str) -> httpx2.Response:
    """A call without credentials, unless `client` brings some."""
    async with site.client(**client) as asking:
        return await asking.post(path, json=body)


def cookie_of(response: httpx2.Response) -> tuple[str, str]:
    """The session cookie's value, and its attributes in lower case."""
    name, _, rest = response.headers["set-cookie"].partition("=")
    assert name == "relay_session"
    value, _, attributes = rest.partition(";")
    return value, attributes.lower()


async def test_a_sign_in_link_becomes_a_cookie_that_scripts_cannot_read_and_works_once(site: Site) -> None:
    secret = await site.link(site.owner)
    signed_in = await post(site, "/api/sign-in", {"secret": secret})
    assert signed_in.json() == {
        "user": {"id": site.owner.id, "name": "Olga"},
        "workspaces": [{"id": site.workspace, "name": "acme", "role": "owner"}],
    }
    value, attributes = cookie_of(signed_in)
    assert {"httponly", "samesite=strict", "path=/"} <= {word.strip() for word in attributes.split(";")}
    assert "secure" not in attributes  # this site is reached over http
    async with site.client(cookie=value) as client:
        me = (await client.get("/api/me")).json()
    assert me["user"] == {"kind": "person", "id": site.owner.id, "name": "Olga"}
    again = await post(site, "/api/sign-in", {"secret": secret})
    assert (again.status_code, again.json()["code"]) == (410, "expired")


async def test_the_cli_gets_a_token_and_no_cookie(site: Site) -> None:
    answer = await post(site, "/api/sign-in", {"secret": await site.link(site.owner), "cli": True})
    assert "set-cookie" not in answer.headers
    async with site.client(answer.json()["token"]) as client:
        assert (await client.get("/api/me")).json()["nodes"] == [URL]


async def test_a_name_given_at_sign_in_is_kept(site: Site) -> None:
    answer = await post(site, "/api/sign-in", {"secret": await site.link(site.owner), "name": "  Olga O. "})
    assert answer.json()["user"]["name"] == "Olga O."


async def test_signing_out_ends_the_cookie_everywhere(site: Site) -> None:
    value, _ = cookie_of(await post(site, "/api/sign-in", {"secret": await site.link(site.owner)}))
    async with site.client(cookie=value, origin=URL) as client:
        gone = await client.post("/api/sign-out", json={})
        assert gone.status_code == 200
        assert 'relay_session=""' in gone.headers["set-cookie"]
        assert (await client.get("/api/me")).status_code == 401


async def test_a_sign_in_link_is_made_for_oneself_with_its_secret_in_the_fragment(site: Site, owner: Caller) -> None:
    made = (await owner.ask("POST", "/api/sign-in-links")).json()
    start, _, secret = made["url"].partition("#sign-in=")
    assert start == f"{URL}/"
    answer = await post(site, "/api/sign-in", {"secret": secret})
    assert answer.json()["user"]["id"] == owner.id


async def test_an_invitation_makes_a_stranger_a_member_once(site: Site, owner: Caller) -> None:
    path = f"/api/workspaces/{site.workspace}/invitations"
    made = (await owner.ask("POST", path, {"role": "viewer", "name": "Vera"})).json()
    assert made["role"] == "viewer"
    assert [each["id"] for each in (await owner.get(path))["invitations"]] == [made["id"]]
    secret = made["url"].partition("#invite=")[2]
    joined = await post(site, "/api/invitations/accept", {"secret": secret, "name": "Vera", "cli": True})
    assert joined.json()["workspaces"] == [{"id": site.workspace, "name": "acme", "role": "viewer"}]
    assert joined.json()["token"].startswith("rly_cli_")
    again = await post(site, "/api/invitations/accept", {"secret": secret, "name": "Eve"})
    assert (again.status_code, again.json()["code"]) == (410, "expired")
    assert (await owner.get(path))["invitations"] == []


async def test_somebody_signed_in_joins_as_who_they_are(site: Site, owner: Caller) -> None:
    second = (await owner.ask("POST", "/api/workspaces", {"name": "second"})).json()
    guest = await site.person("Gus", "member")
    made = (await owner.ask("POST", f"/api/workspaces/{second['id']}/invitations", {"role": "admin"})).json()
    before = {each["name"] for each in (await guest.get("/api/me"))["workspaces"]}
    joined = await guest.ask("POST", "/api/invitations/accept", {"secret": made["url"].partition("#invite=")[2]})
    assert joined.json()["user"]["id"] == guest.id
    assert "set-cookie" not in joined.headers
    assert before == {"acme"}
    assert {each["name"] for each in (await guest.get("/api/me"))["workspaces"]} == {"acme", "second"}


async def test_a_member_who_accepts_again_leaves_the_invitation_good(site: Site, owner: Caller) -> None:
    made = (await owner.ask("POST", f"/api/workspaces/{site.workspace}/invitations", {"role": "member"})).json()
    secret = made["url"].partition("#invite=")[2]
    refused = await owner.ask("POST", "/api/invitations/accept", {"secret": secret})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await post(site, "/api/invitations/accept", {"secret": secret, "name": "New"})).status_code == 200


async def test_a_withdrawn_invitation_lets_nobody_in(site: Site, owner: Caller) -> None:
    path = f"/api/workspaces/{site.workspace}/invitations"
    made = (await owner.ask("POST", path, {})).json()
    assert (await owner.ask("DELETE", f"{path}/{made['id']}")).json() == {"id": made["id"]}
    answer = await post(site, "/api/invitations/accept", {"secret": made["url"].partition("#invite=")[2], "name": "E"})
    assert answer.status_code in (401, 410)


async def test_a_newcomer_says_a_name(site: Site, owner: Caller) -> None:
    made = (await owner.ask("POST", f"/api/workspaces/{site.workspace}/invitations", {})).json()
    answer = await post(site, "/api/invitations/accept", {"secret": made["url"].partition("#invite=")[2]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize("secret", ["nonsense", "rly_link_" + "0" * 38, "rly_pat_" + "0" * 38])
async def test_what_is_no_link_is_a_bad_token(site: Site, secret: str) -> None:
    answer = await post(site, "/api/sign-in", {"secret": secret})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-token")
    assert secret not in answer.text


async def test_one_address_that_tries_too_often_waits_and_others_do_not(site: Site) -> None:
    for _ in range(20):
        await post(site, "/api/sign-in", {"secret": "x"})
    turned_away = await post(site, "/api/sign-in", {"secret": "x"})
    assert (turned_away.status_code, turned_away.json()["code"]) == (429, "limit-reached")
    assert turned_away.json()["limit"] == "sign-in"
    assert int(turned_away.headers["retry-after"]) >= 1
    assert (await post(site, "/api/sign-in", {"secret": "x"}, peer="192.0.2.2")).status_code == 401


async def test_a_sign_in_from_a_foreign_page_is_refused(site: Site) -> None:
    """Otherwise a page could sign somebody in as somebody else, and read what they type."""
    secret = await site.link(site.owner)
    foreign = await post(site, "/api/sign-in", {"secret": secret}, origin="https://evil.test")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    assert (await post(site, "/api/sign-in", {"secret": secret}, origin=URL)).status_code == 200


async def test_a_person_can_be_known_to_several_devices(site: Site) -> None:
    person: Person = site.owner
    for _ in range(2):
        answer = await post(site, "/api/sign-in", {"secret": await site.link(person), "cli": True})
        async with site.client(answer.json()["token"]) as client:
            assert (await client.get("/api/me")).json()["user"]["id"] == person.id
