"""Shows that a handshake which is read at one look means to us what it means to the parser."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.rules.limits import HEADERS_PER_REQUEST
from relay.web.opening import OPENING_BYTES, Headers, read_opening
from tests.support.carried import request

BROWSER = (
    b"GET /ws/browser?a=%20b&c HTTP/1.1\r\nHost: relay.test:8443\r\nConnection: keep-alive, Upgrade\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nUpgrade: websocket\r\nOrigin: https://relay.test\r\n"
    b"Sec-WebSocket-Version: 13\r\nCookie: relay_session=abc; theme=dark\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; a\r\n\r\n"
)
ODD = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x7f", b"\xe9", b",", b"%", b"#", b"?", b"GET ", b"A: b"]


class Parsed:
    """What the parser makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: Headers = []
        self.size: int | None = None  # of the request, if it begins something else than HTTP
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.size = upgrade.args[0]
        self.method, self.version = parser.get_method(), parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers.append((name.lower(), value))


def agree(data: bytes) -> None:
    """What is read at one look the parser reads likewise."""
    opening = read_opening(data)
    if opening is None:
        return
    parsed = Parsed(data)
    assert (parsed.method, parsed.version, parsed.size) == (b"GET", "1.1", opening.size)
    assert parsed.headers == opening.headers
    url = httptools.parse_url(parsed.url)
    assert (url.path, url.query or b"") == (opening.path, opening.query)


@pytest.mark.parametrize("behind", [b"", b"\x81\x85....hello", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("asked", [request(), BROWSER], ids=["a program's", "a browser's"])
def test_usual_handshakes_are_read_at_one_look(asked: bytes, behind: bytes) -> None:
    opening = read_opening(asked + behind)
    assert opening is not None
    assert opening.size == len(asked)
    agree(asked + behind)


@pytest.mark.parametrize(
    "unusual",
    [
        b"",
        request()[:-1],
        request(method="POST"),
        request(version="1.0"),
        request(target="x"),
        request(target="/x%20y"),
        request(target="/x#y"),
        request(target="http://relay.test/x"),
        request(connection=None),
        request(connection="close"),
        request(upgrade="h2c"),
        request("host: other.test"),
        request("content-length: 0"),
        request("transfer-encoding: chunked"),
        request("expect: 100-continue"),
        request("a:b"),
        request("a : b"),
        request("a:  b"),
        request("a: b "),
        request("a: b\t"),
        request("a: "),
        request(": b"),
        request(" folded: b"),
        request("a: caf\xe9"),
        request("a: b\nc: d"),
        request("a: b\rc: d"),
        request("a: " + "b" * OPENING_BYTES),
        request(*(f"{number}: b" for number in range(HEADERS_PER_REQUEST))),
        request().replace(b"\r\n", b"\n"),
        request().replace(b" HTTP/1.1\r\n", b" HTTP/1.1 \r\n"),
        request().replace(b"GET /", b"GET  /"),
        b"GET /\r\n\r\n",
        b"\r\n" + request(),
    ],
)
def test_what_is_unusual_is_left_to_the_parser(unusual: bytes) -> None:
    assert read_opening(unusual) is None


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    asked=st.sampled_from([request(), request("x: y", target="/a?b"), BROWSER]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.sampled_from([b"", *ODD])), max_size=3),
)
@example(request(), [(0, 0, b"\r\n")])
def test_whatever_is_changed_in_a_handshake_it_never_means_two_things(
    asked: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    for at, removed, added in edits:
        asked = asked[:at] + added + asked[at + removed :]
    agree(asked)
