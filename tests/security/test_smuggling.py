"""Shows that a request whose end two readers could see in two places is refused, and its connection with it."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.carried import WAIT_SECONDS, Place, place
from tests.web.test_upgrade import Doorway

POST = b"POST /body HTTP/1.1\r\nHost: relay.test\r\n"
GET = b"GET /hello HTTP/1.1\r\nHost: relay.test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: relay.test\r\n\r\n"
AMBIGUOUS = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "the same length twice": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\n" + SMUGGLED,
    "a list of lengths": POST + b"Content-Length: 4, 4\r\n\r\n" + SMUGGLED,
    "a signed length": POST + b"Content-Length: +5\r\n\r\n" + SMUGGLED,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "a length in hex": POST + b"Content-Length: 0x5\r\n\r\n" + SMUGGLED,
    "a length beyond numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + SMUGGLED,
    "a folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + SMUGGLED,
    "a folded value": GET + b"X: a\r\n Content-Length: 5\r\n\r\n" + SMUGGLED,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + SMUGGLED,
    "another coding": POST + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    "a coding after chunks": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + SMUGGLED,
    "a coding that looks like chunks": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "a control before the coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + SMUGGLED,
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    "bare line feeds": b"GET /hello HTTP/1.1\nHost: relay.test\n\n" + SMUGGLED,
    "a bare carriage return": GET + b"X: a\rContent-Length: 5\r\n\r\n" + SMUGGLED,
    "a zero byte": GET + b"X: a\0b\r\n\r\n" + SMUGGLED,
    "a header without a name": GET + b": a\r\n\r\n" + SMUGGLED,
    "a name beyond ASCII": GET + b"Content-Length\xff: 5\r\n\r\n" + SMUGGLED,
    "a chunk with a line feed": CHUNKED + b"4\nabcd\r\n" + SMUGGLED,
    "an extension with a line feed": CHUNKED + b"4;a\nb\r\nabcd\r\n" + SMUGGLED,
    "a chunk in C's hex": CHUNKED + b"0x4\r\nabcd\r\n" + SMUGGLED,
    "a chunk that is longer than it says": CHUNKED + b"4\r\nabcdXX" + SMUGGLED,
    "a tunnel": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: relay.test\r\n\r\n" + SMUGGLED,
    "the beginning of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "a version of its own": b"GET /hello HTTP/9.9\r\nHost: relay.test\r\n\r\n" + SMUGGLED,
}


class Asked:
    """What reaches the application."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def answer(self, request: Request) -> Response:
        """Note it."""
        self.paths.append(request.url.path)
        try:
            return PlainTextResponse(f"{len(await request.body())} bytes")
        except ClientDisconnect:
            return PlainTextResponse("gone")

    def routes(self) -> list[Route]:
        """All that these tests ask for."""
        return [Route(path, self.answer, methods=["GET", "POST"]) for path in ("/hello", "/body", "/smuggled")]


async def say(here: Place, stream: bytes) -> bytes:
    """All that is answered to a stream until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    try:
        writer.write(stream)
        async with asyncio.timeout(WAIT_SECONDS):
            return await reader.read()
    finally:
        writer.transport.abort()  # at once: nothing is left to be collected in another test


@pytest.mark.parametrize("stream", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_two_readers_could_cut_in_two_ways_ends_the_connection(stream: bytes) -> None:
    asked = Asked()
    async with place(Doorway(), http=list(asked.routes())) as here:
        answered = await say(here, stream)
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1 ") == 1
    assert "/smuggled" not in asked.paths


async def test_what_follows_a_body_on_one_connection_is_the_next_request_and_nothing_of_the_body() -> None:
    """So much for the tests above: a smuggled request would be seen."""
    asked = Asked()
    async with place(Doorway(), http=list(asked.routes())) as here:
        body = CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n"
        last = b"GET /smuggled HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n"
        answered = await say(here, body + last)
    assert answered.count(b"HTTP/1.1 200 ") == 2
    assert asked.paths == ["/body", "/smuggled"]


async def test_a_body_behind_get_is_read_as_its_body() -> None:
    asked = Asked()
    async with place(Doorway(), http=list(asked.routes())) as here:
        last = b"GET /hello HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n"
        answered = await say(here, GET + b"Content-Length: 49\r\n\r\n" + SMUGGLED + last)
    assert len(SMUGGLED) == 49
    assert asked.paths == ["/hello", "/hello"]
    assert b"49 bytes" in answered


async def test_an_offer_of_http_2_is_not_taken_up() -> None:
    """A proxy that lets it pass could be asked anything through such a tunnel."""
    asked = Asked()
    async with place(Doorway(), http=list(asked.routes())) as here:
        offer = (
            b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        answered = await say(here, GET + offer)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert b"101" not in answered.partition(b"\r\n")[0]
