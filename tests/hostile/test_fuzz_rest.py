"""Puts anything at all into paths, queries, headers and bodies of REST, and expects a documented answer each time."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay import errors
from relay.errors import RelayError
from relay.web.site import CALLS
from tests.hostile.attacker import Attacker
from tests.hostile.neighbours import Neighbours
from tests.hostile.requests import Answer, request, send

EXAMPLES = 300  # a few milliseconds each
ENDS_THE_TOKEN = "/api/sign-out"
TARGETS = sorted(
    {(call.method, call.path) for call in CALLS if call.asker != "anybody" and call.path != ENDS_THE_TOKEN}
)


def family(base: type[RelayError]) -> dict[str, int]:
    """Every code that there is, with its status."""
    found = {base.code: base.status}
    for child in base.__subclasses__():
        found |= family(child)
    return found


CODES = family(errors.RelayError)
IN_HEADERS = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x100), 0x09]))  # what may be in a value at all

odd = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["..", ".", "%", "%00", "\r\nSet-Cookie: x=y", "\n", "\0", "'--", "{{7*7}}", "\u202e", "\ud7ff", ""]
    ),
)
values = st.text(IN_HEADERS, max_size=40)
names = st.sampled_from([
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Cookie", "Origin", "Referer", "Accept",
    "If-None-Match", "Range", "Accept-Encoding", "X-HTTP-Method-Override", "X-Original-URL", "Content-Type", "Expect",
])  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, real: dict[str, str]) -> tuple[str, str, list[str], bytes | None]:
    """A call whose parameters are real ones or anything, and headers that may mean something to somebody."""
    method, path = draw(st.sampled_from(TARGETS))
    parts = [
        quote(draw(st.just(real[part]) | odd if part in real else odd), safe="") if part.startswith("{") else part
        for part in path.split("/")
    ]
    query = draw(st.dictionaries(odd, odd, max_size=2))
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    target = "/".join(parts) + (f"?{asked}" if asked else "")
    lines = [f"{draw(names)}: {draw(values)}" for _ in range(draw(st.integers(0, 3)))]
    if method == "GET":
        return method, target, lines, None
    body = draw(st.dictionaries(odd, odd | st.integers() | st.none(), max_size=3).map(json.dumps) | odd)
    return method, target, ["Content-Type: application/json", *lines], body.encode("utf-8", "surrogatepass")


def is_documented(answer: Answer) -> None:
    """One of our codes with its status, or an answer that went well; and nothing of the request has become a header."""
    assert answer.status < 500, answer
    named = dict(answer.headers)
    assert "x=y" not in named.get("set-cookie", "")
    if answer.status >= 400 and answer.body:
        assert answer.code is not None, answer
        assert CODES[answer.code] == answer.status
        body: dict[str, Any] = json.loads(answer.body)
        assert named["content-type"] == "application/problem+json"
        assert body["status"] == answer.status


def test_whatever_is_in_a_request_its_answer_is_documented_and_the_node_goes_on(
    attacked: str, machine: Attacker, neighbours: Neighbours
) -> None:
    viewer = machine.team.person("fuzzy", "viewer")  # who may do little, so that nothing that matters changes

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(asked=requests({"{workspace}": machine.team.workspace, "{machine}": machine.id}))
    def ask(asked: tuple[str, str, list[str], bytes | None]) -> None:
        method, target, lines, body = asked
        sent = request(attacked, target, f"Authorization: Bearer {viewer.token}", *lines, method=method, body=body)
        answer = send(attacked, sent)
        is_documented(answer)
        seen.add(answer.status)

    seen: set[int] = set()
    ask()
    assert seen >= {200, 400, 403, 404}, "most requests are to come to where they are answered"
    neighbours.prints()
    neighbours.hears()
