"""Shows what one node still answers while its registry is away, for how long, and from what it may not."""

from __future__ import annotations

import pytest

from relay.errors import RegistryUnavailable
from relay.node.changes import VOUCHED_SECONDS
from relay.web.auth import REMEMBERED_MS, STANDS_IN_MS
from tests.web.site import Caller, Site


@pytest.fixture
async def machine(site: Site, owner: Caller) -> str:
    """A machine that everybody has looked at; then the registry goes away."""
    made = await owner.machine("box.local", name="box")
    assert (await owner.ask("GET", "/api/machines")).status_code == 200
    return str(made["id"])


def _is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise RegistryUnavailable("the registry does not answer")

    for name in ("ask", "attempt"):
        monkeypatch.setattr(site.parts.registry._database, name, away)


async def test_what_was_read_is_shown_and_what_is_written_is_refused(
    site: Site, owner: Caller, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_away(site, monkeypatch)
    for path in ("/api/machines", f"/api/machines/{machine}", "/api/resolve?q=box"):
        assert (await owner.ask("GET", path)).status_code == 200, path
    for method, path, body in (
        ("PATCH", f"/api/machines/{machine}", {"name": "other"}),
        ("PATCH", f"/api/machines/{machine}/visibility", {"visibility": "PRIVATE"}),
        ("DELETE", f"/api/machines/{machine}", None),
        ("POST", "/api/workspaces", {"name": "new"}),
        ("POST", "/api/machines", {"hostname": "new", "version": "1", "instanceId": machine}),
    ):
        refused = await owner.ask(method, path, body)
        assert (refused.status_code, refused.json()["code"]) == (503, "registry-unavailable"), path
        assert refused.headers["retry-after"] == "5"
    async with site.client() as client:
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["impaired"]) == (200, ["registry-away"])


async def test_nothing_is_shown_from_memory_once_somebody_rang_for_a_change(
    site: Site, owner: Caller, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_away(site, monkeypatch)
    site.node.tail.ring(site.node.tail.bell())
    assert (await owner.ask("GET", "/api/machines")).status_code == 200, "that was this node's own"
    site.node.tail.ring(b"%d" % (site.node.tail.number + 1))
    refused = await owner.ask("GET", "/api/machines")
    assert (refused.status_code, refused.json()["code"]) == (503, "registry-unavailable")


async def test_somebody_who_was_known_stays_known_for_as_long_as_a_failover_takes(
    site: Site, owner: Caller, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = await site.caller(site.owner)
    monkeypatch.setattr(site.node.authenticator, "_clock", site.clock)
    _is_away(site, monkeypatch)
    assert (await stranger.ask("GET", "/api/machines")).status_code == 503
    site.clock.ahead_ms += REMEMBERED_MS + STANDS_IN_MS - 1_000
    assert (await owner.ask("GET", "/api/machines")).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(site.parts.registry.credentials, "find", _nobody_waits)
        assert (await owner.ask("GET", "/api/machines")).status_code == 200, "known to be away, it is not asked"
    site.clock.ahead_ms += 2_000
    assert (await owner.ask("GET", "/api/machines")).status_code == 503


async def _nobody_waits(*_: object) -> None:
    raise AssertionError("the registry was asked")


async def test_memory_is_not_vouched_for_for_ever(
    site: Site, owner: Caller, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_away(site, monkeypatch)
    monkeypatch.setattr(site.node.tail, "age_seconds", lambda: VOUCHED_SECONDS + 1)
    assert (await owner.ask("GET", "/api/machines")).status_code == 503


async def test_a_membership_that_ended_before_the_outage_is_not_remembered_during_it(
    site: Site, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await site.person("Max", "member")
    assert (await member.ask("GET", "/api/machines")).status_code == 200
    boss = await site.caller(site.owner)
    removed = await boss.ask("DELETE", f"/api/workspaces/{site.workspace}/members/{member.id}")
    assert removed.is_success, removed.text
    _is_away(site, monkeypatch)
    assert (await member.ask("GET", "/api/machines")).status_code == 503
