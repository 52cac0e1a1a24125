"""Shows the sign-in of a terminal by a code that somebody approves."""

from __future__ import annotations

from typing import Any

from relay.web.devices import USER_CODE_LETTERS, make_user_code
from tests.web.site import URL, Caller, Site


async def begin(site: Site) -> dict[str, Any]:
    """A terminal asks for a code."""
    async with site.client(**{"user-agent": "relay on laptop"}) as client:
        response = await client.post("/api/device", json={})
    assert response.status_code == 201
    found: dict[str, Any] = response.json()
    return found


async def poll(site: Site, device: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The terminal asks for its token."""
    async with site.client() as client:
        response = await client.post("/api/device/token", json={"deviceCode": device["deviceCode"]})
    return response.status_code, response.json()


async def test_an_approved_terminal_gets_a_token_once(site: Site, owner: Caller) -> None:
    device = await begin(site)
    assert device["verificationUrl"] == f"{URL}/#device={device['userCode']}"
    typed = device["userCode"].replace("-", "").lower()
    approved = await owner.ask("POST", "/api/device/approve", {"userCode": typed})
    assert approved.json() == {"approved": True, "client": "relay on laptop"}
    status, answer = await poll(site, device)
    assert (status, answer["user"]) == (200, {"id": owner.id, "name": owner.name})
    async with site.client(answer["token"]) as client:
        assert (await client.get("/api/me")).json()["user"]["id"] == owner.id
    status, again = await poll(site, device)
    assert (status, again["code"]) == (410, "expired")


async def test_a_terminal_waits_and_is_told_not_to_hurry(site: Site) -> None:
    device = await begin(site)
    status, waiting = await poll(site, device)
    assert (status, waiting["code"], waiting["intervalSeconds"]) == (400, "authorization-pending", 5.0)
    status, hurried = await poll(site, device)
    assert (status, hurried["code"]) == (429, "slow-down")
    assert hurried["intervalSeconds"] > waiting["intervalSeconds"]


async def test_a_refused_terminal_is_told_so(site: Site, owner: Caller) -> None:
    device = await begin(site)
    denied = await owner.ask("POST", "/api/device/approve", {"userCode": device["userCode"], "deny": True})
    assert denied.json()["approved"] is False
    assert (await poll(site, device))[1]["code"] == "forbidden"


async def test_a_code_that_nobody_waits_for_is_not_found(owner: Caller) -> None:
    for code in ("BCDF-GHJK", "nonsense", "1"):
        response = await owner.ask("POST", "/api/device/approve", {"userCode": code})
        assert (response.status_code, response.json()["code"]) == (404, "not-found")


async def test_codes_cannot_be_guessed_in_a_row(owner: Caller) -> None:
    for _ in range(10):
        await owner.ask("POST", "/api/device/approve", {"userCode": "BCDF-GHJK"})
    response = await owner.ask("POST", "/api/device/approve", {"userCode": "BCDF-GHJK"})
    assert (response.status_code, response.json()["limit"]) == (429, "device-approve")


async def test_a_key_approves_nothing(key: Caller) -> None:
    response = await key.ask("POST", "/api/device/approve", {"userCode": "BCDF-GHJK"})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


def test_a_user_code_is_eight_letters_without_vowels() -> None:
    code = make_user_code(bytes(range(32)))
    assert len(code) == 9
    assert set(code) <= set(USER_CODE_LETTERS) | {"-"}
    assert make_user_code(bytes(32)) == "BBBB-BBBB"
