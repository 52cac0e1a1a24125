"""Shows what every answer tells a browser, and that no path, header or body makes a node say something else."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from relay.web.page import policy
from relay.web.site import CALLS
from tests.support.cluster import Team
from tests.web.site import URL, Caller, Site

CAREFUL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NOBODY = "8f23c1d2-0000-4000-8000-000000000000"
CRLF = ["a\r\nset-cookie: relay_session=x", "a\nb", "a\rb", "a\0b", "a\u2028b", "a\x85b"]


async def test_every_answer_of_every_call_keeps_browsers_careful_and_caches_away(site: Site, owner: Caller) -> None:
    for call in CALLS:
        path = re.sub(r"\{\w+\}", NOBODY, call.path)
        for client in (site.client(owner.token), site.client()):
            async with client:
                headers = (await client.request(call.method, path, json={})).headers
            assert {name: headers.get(name) for name in CAREFUL} == CAREFUL, path
            assert headers["x-frame-options"] == "DENY"
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert re.match("no-store|no-cache", headers["cache-control"]), path
            assert "server" not in headers
            assert "location" not in headers


def test_the_page_lets_no_script_in_and_is_shown_in_no_frame() -> None:
    """Of styles, attributes alone may be inline: they can neither run nor load anything."""
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy("n", []).split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == ["'self'"]
    assert [name for name, sources in rules.items() if "'unsafe-inline'" in sources] == ["style-src-attr"]
    assert not any("'unsafe-eval'" in sources or "*" in sources for sources in rules.values())
    assert rules["require-trusted-types-for"] == ["'script'"], "markup that a script makes of text is refused"
    for name in ("frame-ancestors", "base-uri", "form-action"):
        assert rules[name] == ["'none'"]


TRAVERSALS = [
    "/..%2f..%2fetc/passwd", "/assets/..%2f..%2fsettings.py", "/assets/%2e%2e/index.html", "/assets/..\\page.py",
    "/assets//etc/passwd", "/assets/%00", "/assets/%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "//evil.test/",
    "/assets/..;/x", "/.git/config", "/.env", "/relay.db", "/metrics", "/assets/", "/assets", "/api/machines/../me/..",
    "/index.html%0d%0aset-cookie:%20relay_session=x",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS)
def test_a_path_leads_to_nothing_but_what_is_served(team: Team, target: str) -> None:
    """Asked over a bare socket, as no client would write it."""
    parts = urlsplit(team.owner.url)
    assert parts.port is not None
    with socket.create_connection(("127.0.0.1", parts.port), timeout=15) as wire:
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: wire.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 40[04] ", head), head
    assert b"set-cookie" not in head.lower()
    assert b"\r\nlocation:" not in head.lower()
    assert len(body) < 400


@pytest.mark.parametrize("odd", ["..", ".", "%2e%2e", "..%2f..", "x" * 5_000, "NULL", "0", "-1", "{id}", "'--", "%00"])
async def test_an_id_is_an_id_or_nothing(owner: Caller, odd: str) -> None:
    response = await owner.ask("DELETE", f"/api/workspaces/{owner.site.workspace}/keys/{odd}")
    assert response.status_code in (400, 404, 405)
    if response.status_code == 404:
        assert odd not in response.text or len(odd) < 3


@pytest.mark.parametrize("odd", CRLF, ids=ascii)
async def test_no_name_begins_a_header_a_line_or_a_row(site: Site, owner: Caller, odd: str) -> None:
    calls = [
        ("POST", "/api/workspaces", {"name": odd}),
        ("POST", f"/api/workspaces/{site.workspace}/keys", {"name": odd}),
        ("POST", f"/api/workspaces/{site.workspace}/invitations", {"role": "member", "name": odd}),
        ("POST", "/api/machines", {"hostname": odd, "version": "1", "instanceId": NOBODY}),
        ("POST", "/api/machines", {"hostname": "h", "version": "1", "instanceId": NOBODY, "name": odd}),
        ("POST", "/api/machines", {"hostname": "h", "version": "1", "instanceId": NOBODY, "labels": {"k": odd}}),
        ("POST", "/api/machines", {"hostname": "h", "version": "1", "instanceId": NOBODY, "labels": {odd: "v"}}),
        ("POST", "/api/machines", {"hostname": "h", "version": odd, "instanceId": NOBODY}),
    ]
    for method, path, body in calls:
        response = await owner.ask(method, path, body)
        assert response.status_code == 400, (path, body)
        assert "set-cookie" not in response.headers
        assert "\n" not in response.json()["detail"]


async def test_what_a_browser_calls_itself_is_kept_without_what_steers(site: Site) -> None:
    body = {"secret": await site.link(site.owner), "cli": True}
    async with site.client() as client:
        answer = await client.post("/api/sign-in", json=body, headers={b"user-agent": b"a\x1b[31m\x85b"})
    assert answer.status_code == 200
    listed = await site.parts.registry.credentials.sign_ins(site.owner.id, site.clock())
    assert all(each.name.isprintable() for each in listed)


async def test_a_compressed_body_is_not_unpacked(owner: Caller) -> None:
    """A kilobyte of it could be a gigabyte."""
    bomb = gzip.compress(b'{"name": "' + b"x" * 10_000_000 + b'"}')
    async with owner.site.client(
        owner.token, **{"content-encoding": "gzip", "content-type": "application/json"}
    ) as client:
        response = await client.post("/api/workspaces", content=bomb[:10_000])
    assert response.status_code in (400, 415)


@pytest.mark.parametrize("deep", ["[" * 60_000, '{"a":' * 12_000, '{"name": ' + "[" * 60_000])
async def test_a_body_of_nothing_but_brackets_is_one_bad_request(owner: Caller, deep: str) -> None:
    async with owner.site.client(owner.token, **{"content-type": "application/json"}) as client:
        response = await client.post("/api/workspaces", content=deep.encode())
        assert (response.status_code, response.json()["code"]) == (400, "invalid")
        cursor = await client.get("/api/machines", params={"cursor": "W1tbW1tb" * 400})
        assert cursor.status_code == 400


async def test_two_bodies_of_one_name_are_not_two_meanings(owner: Caller) -> None:
    """The last one counts in one parser and the first one in another; here there is only one parser."""
    async with owner.site.client(owner.token, **{"content-type": "application/json"}) as client:
        response = await client.post("/api/workspaces", content=b'{"name": "first", "name": "last"}')
    assert response.status_code in (201, 400)
    if response.status_code == 201:
        assert response.json()["name"] == "last"


async def test_no_address_of_ours_leads_elsewhere(site: Site) -> None:
    """No redirect is ever answered, so none can be bent."""
    async with site.client() as client:
        for path in ("/", "//evil.test", "/api", "/api/", "/api/me/", "/healthz/", "/?next=https://evil.test"):
            response = await client.get(path)
            assert not 300 <= response.status_code < 400, path
            assert "location" not in response.headers


async def test_errors_never_repeat_a_secret(site: Site, owner: Caller) -> None:
    secret = owner.token[:-1] + ("0" if owner.token[-1] != "0" else "1")
    answers = []
    async with site.client(secret) as client:
        answers.append(await client.get("/api/me"))
    async with site.client(cookie=secret) as client:
        answers.append(await client.get("/api/me"))
    async with site.client(origin=URL) as client:
        answers.append(await client.post("/api/sign-in", json={"secret": secret}))
        answers.append(await client.post("/api/device/token", json={"deviceCode": secret}))
        answers.append(await client.post("/api/sign-in", content=json.dumps({"secret": secret, "x": 1})))
    for answer in answers:
        assert answer.status_code in (400, 401, 410, 415)
        assert secret not in answer.text + str(answer.headers)
    await asyncio.sleep(0)
