"""Shows, row by row, what a node answers to hostile HTTP: a status and a code each, and no neighbour notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from relay.rules import limits
from tests.hostile.attacker import Attacker
from tests.hostile.neighbours import Neighbours
from tests.hostile.requests import request, send

JSON = "Content-Type: application/json"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Caller:
    """Somebody who may do everything in the workspace, and writes requests by hand."""

    def __init__(self, machine: Attacker, url: str) -> None:
        self.url = url
        self.machine = machine
        self.token = machine.team.owner.token

    def at_home(self, target: str) -> str:
        """The target with the workspace named."""
        return target.replace("WORKSPACE", self.machine.team.workspace)

    def writes(self, method: str, target: str, *lines: str, body: bytes | None = None, signed: bool = True) -> bytes:
        """A request, with the token unless told otherwise."""
        own = (f"Authorization: Bearer {self.token}",) if signed else ()
        return request(self.url, target, *own, *lines, method=method, body=body)


@dataclass(frozen=True)
class Row:
    """One request, and what it is answered."""

    what: str
    status: int
    code: str | None
    sends: Callable[[Caller], bytes]


def get(what: str, target: str, status: int, code: str | None) -> Row:
    """A GET of this target, in which WORKSPACE is the caller's."""
    return Row(what, status, code, lambda caller: caller.writes("GET", caller.at_home(target)))


def post(what: str, body: bytes, status: int, code: str | None, target: str = "/api/workspaces") -> Row:
    """A POST of this body as JSON."""
    return Row(what, status, code, lambda caller: caller.writes("POST", caller.at_home(target), JSON, body=body))


PATHS = [
    get("a path that is not there", "/api/nothing", 404, "not-found"),
    get("a machine that is not there", f"/api/machines/{NOBODY}", 404, "not-found"),
    get("an id in capitals and braces", f"/api/machines/%7B{NOBODY.upper()}%7D", 404, "not-found"),
    get("an id with a line break behind it", f"/api/machines/{NOBODY}%0A", 404, "not-found"),
    get("an id with a header behind it", f"/api/machines/{NOBODY}%0D%0ASet-Cookie:%20x=y", 404, "not-found"),
    get("an id with a null behind it", f"/api/machines/{NOBODY}%00", 404, "not-found"),
    get("an id that is SQL", "/api/machines/'%20OR%201=1--", 404, "not-found"),
    get("an id of ten thousand letters", "/api/machines/" + "x" * 10_000, 404, "not-found"),
    get("dots in place of an id", "/api/machines/..", 404, "not-found"),
    get("dots around a path", "/api/machines/../me", 404, "not-found"),
    get("dots that are written otherwise", "/api/machines/%2e%2e/me", 404, "not-found"),
    get("slashes that are written otherwise", "/api%2Fme", 200, None),
    get("two slashes", "//api/me", 404, "not-found"),
    get("a file of the system", "/assets/../../../../etc/passwd", 404, "not-found"),
    get("a file of the system, written otherwise", "/assets/%2e%2e%2f%2e%2e%2fetc/passwd", 404, "not-found"),
    get("bytes that are not UTF-8", "/api/machines/%ff%fe", 404, "not-found"),
    get("half an escape", "/api/machines/%", 404, "not-found"),
    get("a path in other letters", "/API/ME", 404, "not-found"),
    Row(
        "a method that the path does not take",
        405,
        "method-not-allowed",
        lambda caller: caller.writes("PUT", "/api/me"),
    ),
    Row("a method of nobody's", 400, None, lambda caller: caller.writes("HACK", "/api/me")),
    Row("a trace", 405, "method-not-allowed", lambda caller: caller.writes("TRACE", "/api/me")),
]

QUERIES = [
    get("a parameter that is not there", "/api/machines?colour=red", 400, "invalid"),
    get("a parameter twice", "/api/machines?limit=1&limit=2", 400, "invalid"),
    get("a limit of nothing", "/api/machines?limit=0", 400, "invalid"),
    get("a limit of very much", "/api/machines?limit=1" + "0" * 400, 400, "invalid"),
    get("a limit that is NaN", "/api/machines?limit=NaN", 400, "invalid"),
    get("a cursor that is none", "/api/machines?cursor=x!", 400, "invalid"),
    get("a query with a line break", "/api/resolve?workspace=WORKSPACE&q=a%0d%0ab", 400, "invalid"),
    get("a query with half of a surrogate pair", "/api/machines?q=%ed%a0%80", 200, None),
    get("a query of 256 characters", "/api/resolve?workspace=WORKSPACE&q=" + "x" * 256, 400, "invalid"),
    get("a workspace that is not there", f"/api/machines?workspace={NOBODY}", 404, "not-found"),
]

BODIES = [
    post("no body", b"", 400, "invalid"),
    post("half a body", b'{"name":', 400, "invalid"),
    post("a list", b"[]", 400, "invalid"),
    post("a name that is a number", b'{"name":7}', 400, "invalid"),
    post("a name of nothing", b'{"name":""}', 400, "invalid"),
    post("a name of blanks", b'{"name":"  "}', 400, "invalid"),
    post("a name of 201 characters", b'{"name":"' + b"x" * 201 + b'"}', 400, "invalid"),
    post("a name with a line break", b'{"name":"a\\r\\nSet-Cookie: x=y"}', 400, "invalid"),
    post("a name with an escape sequence", b'{"name":"\\u001b]0;x\\u0007"}', 400, "invalid"),
    post("a name that runs backwards", b'{"name":"a\\u202eb"}', 400, "invalid"),
    post("a name with a null", b'{"name":"\\u0000"}', 400, "invalid"),
    post("half of a surrogate pair", b'{"name":"\\ud800"}', 400, "invalid"),
    post("bytes that are not UTF-8", b'{"name":"\xff"}', 400, "invalid"),
    post("a field of nobody's", b'{"name":"x","owner":true}', 400, "invalid"),
    post("NaN", b'{"name":NaN}', 400, "invalid"),
    post("deep nesting", b"[" * 20_000, 400, "invalid"),
    post("a body of a byte too many", b'"' + b"x" * limits.BODY_BYTES, 413, "too-big"),
    post(
        "an installation that is no id",
        b'{"hostname":"h","version":"1","instanceId":"../x"}',
        400,
        "invalid",
        "/api/machines",
    ),
    post(
        "a hostname with a line break",
        b'{"hostname":"h\\nx","version":"1","instanceId":"%b"}' % NOBODY.encode(),
        400,
        "invalid",
        "/api/machines?workspace=WORKSPACE",
    ),
    post("a sign-in with nobody's secret", b'{"secret":"rly_link_nonsense"}', 401, "bad-token", "/api/sign-in"),
    Row(
        "a body that is not declared as JSON",
        415,
        "unsupported-media-type",
        lambda caller: caller.writes("POST", "/api/workspaces", "Content-Type: text/plain", body=b'{"name":"x"}'),
    ),
    Row(
        "a form",
        415,
        "unsupported-media-type",
        lambda caller: caller.writes(
            "POST", "/api/workspaces", "Content-Type: application/x-www-form-urlencoded", body=b"name=x"
        ),
    ),
]

HEADERS = [
    Row("no token", 401, "bad-token", lambda caller: caller.writes("GET", "/api/me", signed=False)),
    Row(
        "a token of nobody's",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", "/api/me", "Authorization: Bearer rly_pat_x", signed=False),
    ),
    Row(
        "a token with a blank in it",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", "/api/me", "Authorization: Bearer a b", signed=False),
    ),
    Row(
        "a password",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", "/api/me", "Authorization: Basic eDp5", signed=False),
    ),
    Row(
        "a machine token",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", "/api/me", f"Authorization: Bearer {caller.machine.token}", signed=False),
    ),
    Row(
        "a token in the query",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", f"/api/me?token={caller.token}", signed=False),
    ),
    Row(
        "a cookie of nobody's",
        401,
        "bad-token",
        lambda caller: caller.writes("GET", "/api/me", "Cookie: relay_session=rly_web_x", signed=False),
    ),
    Row(
        "a host that is not ours",
        421,
        "unknown-host",
        lambda caller: caller.writes("GET", "/api/me", "Host: evil.test"),
    ),
    Row(
        "two hosts",
        421,
        "unknown-host",
        lambda caller: caller.writes("GET", "/api/me", "Host: evil.test", f"Host: {caller.url[7:]}"),
    ),
    Row(
        "another host in the target",
        421,
        "unknown-host",
        lambda caller: caller.writes("GET", "http://evil.test/api/me", "Host: evil.test"),
    ),
    Row(
        "a write from a foreign page",
        403,
        "forbidden",
        lambda caller: caller.writes("POST", "/api/workspaces", JSON, "Origin: http://evil.test", body=b'{"name":"x"}'),
    ),
    Row(
        "a write from a foreign page that hides it",
        403,
        "forbidden",
        lambda caller: caller.writes(
            "POST", "/api/workspaces", JSON, "Sec-Fetch-Site: cross-site", body=b'{"name":"x"}'
        ),
    ),
    Row("a name with a blank before its colon", 400, None, lambda caller: caller.writes("GET", "/api/me", "X-Odd : x")),
    Row("a line that is folded", 400, None, lambda caller: caller.writes("GET", "/api/me", "X-Odd: x", " y")),
    Row("a null in a value", 400, None, lambda caller: caller.writes("GET", "/api/me", "X-Odd: \0")),
    Row(
        "a head of 32 KiB and more",
        431,
        None,
        lambda caller: caller.writes("GET", "/api/me", "Cookie: " + "x" * 2 * limits.HEAD_BYTES),
    ),
    Row(
        "101 headers",
        431,
        None,
        lambda caller: caller.writes("GET", "/api/me", *(f"X-{n}: x" for n in range(limits.HEADERS_PER_REQUEST))),
    ),
    Row(
        "two lengths",
        400,
        None,
        lambda caller: caller.writes(
            "POST", "/api/workspaces", JSON, "Content-Length: 1", "Content-Length: 2", body=b"{}"
        ),
    ),
    Row(
        "a length that is no number",
        400,
        None,
        lambda caller: caller.writes("POST", "/api/workspaces", JSON, "Content-Length: x", body=b"{}"),
    ),
    Row(
        "a length below zero",
        400,
        None,
        lambda caller: caller.writes("POST", "/api/workspaces", JSON, "Content-Length: -1", body=b"{}"),
    ),
    Row(
        "a length and chunks",
        400,
        None,
        lambda caller: caller.writes(
            "POST", "/api/workspaces", JSON, "Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"
        ),
    ),
    Row(
        "a chunk that is no chunk",
        400,
        None,
        lambda caller: caller.writes(
            "POST", "/api/workspaces", JSON, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n"
        ),
    ),
    Row("what is no request", 400, None, lambda caller: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    Row("a version of nobody's", 400, None, lambda caller: b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
]


@pytest.mark.parametrize("row", PATHS + QUERIES + BODIES + HEADERS, ids=lambda row: row.what)
def test_a_hostile_request_is_answered_by_its_code_and_nobody_else_notices(
    row: Row, attacked: str, machine: Attacker, neighbours: Neighbours
) -> None:
    neighbours.prints()
    answer = send(attacked, row.sends(Caller(machine, attacked)))
    assert (answer.status, answer.code) == (row.status, row.code), answer
    assert "x=y" not in dict(answer.headers).get("set-cookie", "")
    assert machine.team.owner.token.encode() not in answer.body
    neighbours.hears()
