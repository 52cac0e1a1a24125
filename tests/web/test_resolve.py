"""Shows the resolver and whoami over REST."""

from __future__ import annotations

import pytest

from tests.web.site import Caller, Site


async def test_a_name_resolves_with_the_tier_that_matched(owner: Caller) -> None:
    machine = await owner.machine("mac-studio.local", name="studio")
    for query, tier in (("MAC-STUDIO", "hostname"), ("Studio", "name"), ("mac-s", "fuzzy"), (machine["id"], "id")):
        found = await owner.get("/api/resolve", q=query)
        assert (found["machine"]["id"], found["matchedBy"]) == (machine["id"], tier)


async def test_an_ambiguous_name_answers_its_candidates(owner: Caller) -> None:
    made = [await owner.machine(f"prod-api-{number}") for number in (1, 2)]
    response = await owner.ask("GET", "/api/resolve", q="prod")
    body = response.json()
    assert (response.status_code, body["code"]) == (409, "ambiguous")
    assert body["detail"] == body["message"] == 'ambiguous machine "prod" — matches: prod-api-1, prod-api-2'
    assert [each["id"] for each in body["candidates"]] == [each["id"] for each in made]


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("prodx", 404, "not-found", 'no machine matches "prodx"'),
        ("p", 400, "too-short", '"p" is too short: use at least two characters'),
        ("x" * 256, 400, "invalid", None),
        ("a\x07b", 400, "invalid", None),
    ],
)
async def test_what_resolves_to_nothing_says_why(
    owner: Caller, query: str, status: int, code: str, words: str | None
) -> None:
    await owner.machine("prod-api-1")
    response = await owner.ask("GET", "/api/resolve", q=query)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert words is None or response.json()["message"] == words


async def test_whoami_knows_a_machine_by_its_exact_hostname(owner: Caller) -> None:
    machine = await owner.machine("mac-studio.local", name="studio")
    assert await owner.get("/api/whoami", hostname="mac-studio.local") == {
        "matched": True,
        "hostname": "mac-studio.local",
        "machine_id": machine["id"],
    }


@pytest.mark.parametrize("hostname", ["elsewhere", "studio", "mac", "m"])
async def test_whoami_takes_nothing_less_exact(owner: Caller, hostname: str) -> None:
    await owner.machine("mac-studio.local", name="studio")
    await owner.machine("mac-mini.local")
    assert await owner.get("/api/whoami", hostname=hostname) == {
        "matched": False,
        "hostname": hostname,
        "reason": "not in workspace",
    }


async def test_whoami_says_when_several_machines_have_the_hostname(owner: Caller, key: Caller) -> None:
    await owner.machine("twin", name="one", visibility="SHARED")
    await key.machine("twin.local", name="two")
    found = await owner.get("/api/whoami", hostname="twin")
    assert found["matched"] is True  # the literal hostname wins over the one with .local
    await key.machine("twin", name="three")
    found = await owner.get("/api/whoami", hostname="twin")
    assert (found["matched"], found["reason"]) == (False, "several machines have this hostname")


async def test_nothing_resolves_across_workspaces(site: Site, owner: Caller) -> None:
    second = (await owner.ask("POST", "/api/workspaces", {"name": "second"})).json()
    await (await site.key(second["id"])).machine("there")
    response = await owner.ask("GET", "/api/resolve", q="there", workspace="acme")
    assert response.json()["code"] == "not-found"
    assert (await owner.get("/api/resolve", q="there", workspace="second"))["machine"]["name"] == "there"
