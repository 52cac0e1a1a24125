"""Shows one request for every code that REST can answer, and that mistakes of ours are told to the log alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import structlog

from relay import errors
from relay.errors import RelayError
from relay.rules import limits
from relay.web.site import CALLS
from tests.web.site import Caller, Site

Shown = Callable[[Site, Caller], Awaitable[httpx2.Response]]


async def raw(caller: Caller, method: str, path: str, content: bytes, **headers: str) -> httpx2.Response:
    """A call with a body as it is."""
    sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with caller.site.client(caller.token) as client:
        return await client.request(method, path, content=content, headers=sent)


async def show_invalid(site: Site, owner: Caller) -> httpx2.Response:
    return await raw(owner, "POST", "/api/workspaces", b'{"name": ')


async def show_too_short(site: Site, owner: Caller) -> httpx2.Response:
    return await owner.ask("GET", "/api/resolve", q="p")


async def show_workspace_required(site: Site, owner: Caller) -> httpx2.Response:
    await owner.ask("POST", "/api/workspaces", {"name": "second"})
    return await owner.ask("GET", "/api/resolve", q="prod")


async def show_too_big(site: Site, owner: Caller) -> httpx2.Response:
    return await raw(owner, "POST", "/api/workspaces", b'{"name": "' + b"x" * limits.BODY_BYTES + b'"}')


async def show_unsupported_media(site: Site, owner: Caller) -> httpx2.Response:
    return await raw(owner, "POST", "/api/workspaces", b'{"name": "x"}', content_type="text/plain")


async def show_bad_token(site: Site, owner: Caller) -> httpx2.Response:
    async with site.client("rly_pat_nonsense") as client:
        return await client.get("/api/me")


async def show_forbidden(site: Site, owner: Caller) -> httpx2.Response:
    viewer = await site.person("Vera", "viewer")
    return await viewer.ask("GET", f"/api/workspaces/{site.workspace}/keys")


async def show_not_found(site: Site, owner: Caller) -> httpx2.Response:
    return await owner.ask("GET", f"/api/machines/{uuid4()}")


async def show_method_not_allowed(site: Site, owner: Caller) -> httpx2.Response:
    return await owner.ask("PUT", "/api/machines")


async def show_ambiguous(site: Site, owner: Caller) -> httpx2.Response:
    await owner.machine("prod-1")
    await owner.machine("prod-2")
    return await owner.ask("GET", "/api/resolve", q="prod")


async def show_conflict(site: Site, owner: Caller) -> httpx2.Response:
    return await owner.ask("DELETE", f"/api/workspaces/{site.workspace}/members/{owner.id}")


async def show_name_taken(site: Site, owner: Caller) -> httpx2.Response:
    await owner.machine("one")
    two = await owner.machine("two")
    return await owner.ask("PATCH", f"/api/machines/{two['id']}", {"name": "one"})


async def show_machine_revoked(site: Site, owner: Caller) -> httpx2.Response:
    instance = str(uuid4())
    machine = await owner.machine("mac", instanceId=instance)
    await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    return await owner.ask("POST", "/api/machines", {"hostname": "mac", "version": "1", "instanceId": instance})


async def show_gone(site: Site, owner: Caller) -> httpx2.Response:
    secret = await site.link(site.owner)
    async with site.client() as client:
        await client.post("/api/sign-in", json={"secret": secret})
    async with site.client() as client:  # without the cookie, with which it would have to say where it comes from
        return await client.post("/api/sign-in", json={"secret": secret})


async def show_limit_reached(site: Site, owner: Caller) -> httpx2.Response:
    for _ in range(11):
        response = await owner.ask("POST", "/api/device/approve", {"userCode": "BCDF-GHJK"})
    return response


async def show_pending(site: Site, owner: Caller) -> httpx2.Response:
    device = (await owner.ask("POST", "/api/device")).json()
    return await owner.ask("POST", "/api/device/token", {"deviceCode": device["deviceCode"]})


async def show_slow_down(site: Site, owner: Caller) -> httpx2.Response:
    device = (await owner.ask("POST", "/api/device")).json()
    await owner.ask("POST", "/api/device/token", {"deviceCode": device["deviceCode"]})
    return await owner.ask("POST", "/api/device/token", {"deviceCode": device["deviceCode"]})


async def show_unknown_host(site: Site, owner: Caller) -> httpx2.Response:
    async with site.client(owner.token, host="evil.test") as client:
        return await client.get("/api/me")


async def show_unavailable(site: Site, owner: Caller) -> httpx2.Response:
    site.stop_redis()
    return await owner.ask("POST", "/api/tickets")


async def show_registry_unavailable(site: Site, owner: Caller) -> httpx2.Response:
    await owner.get("/api/me")
    site.parts.registry.workspaces.of_person = _away  # type: ignore[method-assign,assignment]
    return await owner.ask("GET", "/api/workspaces")


async def _away(*_: object, **__: object) -> None:
    raise errors.RegistryUnavailable("the registry does not answer")


async def show_internal(site: Site, owner: Caller) -> httpx2.Response:
    await owner.get("/api/me")
    site.parts.registry.workspaces.of_person = _break  # type: ignore[method-assign,assignment]
    return await owner.ask("GET", "/api/workspaces")


async def _break(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a detail that nobody outside may read")


SHOWN: dict[type[RelayError], Shown] = {
    errors.Invalid: show_invalid,
    errors.TooShort: show_too_short,
    errors.WorkspaceRequired: show_workspace_required,
    errors.TooBig: show_too_big,
    errors.UnsupportedMedia: show_unsupported_media,
    errors.BadToken: show_bad_token,
    errors.Forbidden: show_forbidden,
    errors.NotFound: show_not_found,
    errors.MethodNotAllowed: show_method_not_allowed,
    errors.Ambiguous: show_ambiguous,
    errors.Conflict: show_conflict,
    errors.NameTaken: show_name_taken,
    errors.MachineRevoked: show_machine_revoked,
    errors.Gone: show_gone,
    errors.LimitReached: show_limit_reached,
    errors.AuthorizationPending: show_pending,
    errors.SlowDown: show_slow_down,
    errors.UnknownHost: show_unknown_host,
    errors.Unavailable: show_unavailable,
    errors.RegistryUnavailable: show_registry_unavailable,
    RelayError: show_internal,
}


@pytest.fixture
async def logged() -> AsyncIterator[list[Any]]:
    """What is logged during the test."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: kind.code)
async def test_every_code_is_a_problem_document(
    site: Site, owner: Caller, logged: list[Any], kind: type[RelayError]
) -> None:
    response = await SHOWN[kind](site, owner)
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert (response.status_code, body["status"], body["code"]) == (kind.status, kind.status, kind.code)
    assert body["detail"] == body["message"] != ""
    assert body["type"] == f"/api/openapi.json#/components/responses/{kind.code}"
    assert ("retry-after" in response.headers) is (kind.status in (429, 503))
    assert ("www-authenticate" in response.headers) is (kind.status == 401)
    assert owner.token not in str(logged)


def test_every_documented_error_is_shown_here() -> None:
    documented = {error for call in CALLS for error in call.all_errors()}
    assert documented | {errors.MethodNotAllowed} == set(SHOWN)


async def test_a_mistake_of_ours_is_logged_in_full_and_shown_as_internal_error(
    site: Site, owner: Caller, logged: list[Any]
) -> None:
    body = (await show_internal(site, owner)).json()
    assert body["message"] == "internal error"
    assert "detail that nobody" not in str(body)
    (entry,) = [entry for entry in logged if entry["log_level"] == "error"]
    assert "ZeroDivisionError: a detail that nobody outside may read" in entry["traceback"]
    assert owner.token not in str(logged)


async def test_a_mistake_during_sign_in_logs_no_secret(
    site: Site, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await site.link(site.owner)
    monkeypatch.setattr(site.parts.registry.links, "use_sign_in", _break)
    async with site.client() as client:
        response = await client.post("/api/sign-in", json={"secret": secret})
    assert response.json()["code"] == "internal"
    assert "ZeroDivisionError" in str(logged)
    assert secret not in str(logged)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"name": 7}', "Expected `str`"),
        (b'{"name": "x", "admin": true}', "unknown field `admin`"),
        (b'{"name": ""}', "length >= 1"),
        (b'{"name": "' + b"x" * 201 + b'"}', "length <= 200"),
        (b'{"name": "\\u0000"}', "printable"),
        (b'{"name": "a\\u202eb"}', "printable"),
        (b'{"name": "\\ud800"}', ""),
        (b'{"name": "\xff"}', "UTF-8"),
        (b"[" * 20_000, "Expected `object`"),
        (b"\x00", "malformed"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_the_reason(owner: Caller, content: bytes, words: str) -> None:
    response = await raw(owner, "POST", "/api/workspaces", content)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert words in response.json()["message"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "online=perhaps", "colour=red", "limit=1&limit=2", "cursor=x!"]
)
async def test_a_query_that_does_not_fit_is_refused(owner: Caller, query: str) -> None:
    response = await owner.ask("GET", f"/api/machines?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


async def test_a_body_without_a_length_is_read_no_further_than_the_limit(site: Site, owner: Caller) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * limits.BODY_BYTES

    async with site.client(owner.token) as client:
        response = await client.post("/api/workspaces", content=endless(), headers={"content-type": "application/json"})
    assert response.json()["code"] == "too-big"
    assert sent <= 3


async def test_an_unknown_path_is_a_problem_too(owner: Caller) -> None:
    response = await owner.ask("GET", "/api/nothing")
    assert (response.status_code, response.json()["code"]) == (404, "not-found")


async def test_a_wrong_method_says_which_are_right(owner: Caller) -> None:
    response = await owner.ask("PUT", "/api/machines")
    assert response.headers["allow"] == "GET, HEAD, POST"
