"""Shows that a request becomes a WebSocket as RFC 6455 has it and loses no byte on the way, or is refused."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from relay.errors import Close
from relay.rules.websocket import CLOSE, TEXT, close_body
from relay.web.addresses import Addresses
from relay.web.server import configure
from relay.web.upgrade import TAKE_OVER
from tests.support.carried import (
    WAIT_SECONDS,
    App,
    Heard,
    Place,
    listening,
    on_both_loops,
    place,
    request,
    stock,
)
from tests.support.client_stream import FINAL, client_frame

HELLO = client_frame(FINAL | TEXT, b"hello")
BEHIND = client_frame(FINAL | TEXT, b"behind")
GOODBYE = client_frame(FINAL | CLOSE, close_body(1000, ""))
LOST = (1006, "")
TURNS = 10  # of the loop, in which what was sent arrives


class Doorway:
    """An application that waits to be let on before its accept and before it listens."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.knocked = asyncio.Event()
        self.accept = asyncio.Event()
        self.accepted = asyncio.Event()
        self.listen = asyncio.Event()
        self.place: Place

    def open(self) -> None:
        """Nothing is to be waited for."""
        self.accept.set()
        self.listen.set()

    async def __call__(self, websocket: WebSocket) -> None:
        """See `App`."""
        self.knocked.set()
        await self.accept.wait()
        await websocket.accept()
        self.accepted.set()
        await self.listen.wait()
        await self.place.carry(websocket).serve(self.heard)


async def hello(_request: Request) -> Response:
    """An ordinary answer."""
    return PlainTextResponse("hello")


def denied(response: Response) -> App:
    """An application that answers so instead of accepting."""

    async def app(websocket: WebSocket) -> None:
        await websocket.send_denial_response(response)

    return app


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What uvicorn complained of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- no byte is lost ---------------------------------------------------------------------------------------------


@on_both_loops
async def test_what_comes_with_the_request_or_before_the_accept_or_before_anybody_listens_is_heard_in_order() -> None:
    door = Doorway()
    async with place(door) as door.place:
        wire = await door.place.dial()
        wire.send(request() + client_frame(FINAL | TEXT, b"with") + HELLO[:3])
        await asyncio.wait_for(door.knocked.wait(), WAIT_SECONDS)
        wire.send(HELLO[3:])
        door.accept.set()
        assert (await wire.answer()).status == 101
        wire.send(BEHIND)
        door.listen.set()
        await door.heard.until(lambda: len(door.heard.said) == 3)
        assert door.heard.said == ["with", "hello", "behind"]
        wire.send(GOODBYE)
        assert await door.heard.ended() == (1000, "")
        assert await wire.close_code() == 1000
        assert await wire.ends() == b""


@on_both_loops
async def test_half_a_message_that_comes_before_the_accept_is_not_the_last_that_is_read() -> None:
    door = Doorway()
    async with place(door) as door.place:
        wire = await door.place.dial()
        wire.send(request())
        await asyncio.wait_for(door.knocked.wait(), WAIT_SECONDS)
        wire.send(HELLO[:3])
        for _ in range(TURNS):
            await asyncio.sleep(0)
        door.open()
        assert (await wire.answer()).status == 101
        wire.send(HELLO[3:])
        await door.heard.until(lambda: door.heard.said == ["hello"])


@on_both_loops
async def test_a_request_in_single_bytes_with_a_flood_behind_it_loses_none_of_it() -> None:
    door = Doorway()
    flood = client_frame(FINAL | TEXT, b"x" * 50_000) * 100
    async with place(door) as door.place:
        wire = await door.place.dial()
        for byte in request():
            wire.send(bytes([byte]))
            await wire.writer.drain()
        wire.send(flood + GOODBYE)
        door.accept.set()
        assert (await wire.answer()).status == 101
        door.listen.set()
        assert await door.heard.ended() == (1000, "")
        assert [len(said) for said in door.heard.said] == [50_000] * 100


@on_both_loops
async def test_an_upgrade_after_an_answered_request_on_the_same_connection_works() -> None:
    door = Doorway()
    door.open()
    async with place(door, http=[Route("/hello", hello)]) as door.place:
        wire = await door.place.dial()
        for _ in range(2):
            wire.send(request(target="/hello", connection=None, upgrade=None))
            assert (await wire.answer()).body == b"hello"
        wire.send(request() + HELLO)
        assert (await wire.answer()).status == 101
        await door.heard.until(lambda: door.heard.said == ["hello"])


@on_both_loops
async def test_an_upgrade_while_an_answer_is_unread_is_refused() -> None:
    """What waits to be sent would be in the WebSocket's outbox, and nobody would count it."""
    door, answered = Doorway(), asyncio.Event()
    door.open()

    async def large(_request: Request) -> Response:
        answered.set()
        return Response(bytes(2**23))

    async with place(door, http=[Route("/large", large)]) as door.place:
        wire = await door.place.dial(receive_bytes=8_192)
        wire.send(request(target="/large", connection=None, upgrade=None))
        await asyncio.wait_for(answered.wait(), WAIT_SECONDS)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        wire.send(request())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert (await wire.answer()).body == bytes(2**23)
        assert (await wire.answer()).status == 400
        assert await wire.ends() == b""
        assert not door.knocked.is_set()


# --- what is no WebSocket ----------------------------------------------------------------------------------------

KEY_ELSEWHERE = "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    ("asked", "status", "header"),
    [
        (request(sec_websocket_key=None), 400, {}),
        (request(KEY_ELSEWHERE), 400, {}),
        (request(sec_websocket_key="AAAA"), 400, {}),
        (request(sec_websocket_key="not base64!AAAAAAAAAAAA=="), 400, {}),
        (request(sec_websocket_version=None), 426, {"sec-websocket-version": "13"}),
        (request(sec_websocket_version="8"), 426, {"sec-websocket-version": "13"}),
        (request(method="POST"), 405, {"allow": "GET"}),
        (request("content-length: 5", method="POST") + b"hello", 405, {"allow": "GET"}),
        (request(version="1.0"), 400, {}),
        (request("no colon"), 400, {}),
        (b"\x16\x03\x01 is TLS\r\n\r\n", 400, {}),
        (request(target="/nowhere"), 403, {}),
        (request(connection=None), 404, {}),
    ],
    ids=[
        "no key", "two keys", "a short key", "a key that is not base64", "no version", "an old version", "POST",
        "POST with a body", "HTTP/1.0", "a broken header", "TLS", "a path of nobody", "no Connection: Upgrade",
    ],
)  # fmt: skip
async def test_a_wrong_request_is_answered_by_what_is_wrong_with_it(
    asked: bytes, status: int, header: dict[str, str]
) -> None:
    door = Doorway()
    async with place(door) as door.place:
        wire = await door.place.dial()
        wire.send(asked)
        answer = await wire.answer()
        assert answer.status == status
        assert answer.headers.items() >= header.items()
        if status != 404:
            assert answer.headers["connection"] == "close"
            assert await wire.ends() == b""
        assert not door.knocked.is_set()


async def test_an_offer_to_speak_something_else_is_ignored_and_the_request_answered() -> None:
    """As RFC 9110 has it; curl makes one for HTTP/2."""
    offer = request(target="/hello", connection="Upgrade, HTTP2-Settings", upgrade="h2c")
    async with place(http=[Route("/hello", hello)]) as here:
        wire = await here.dial()
        for _ in range(2):
            wire.send(offer)
            assert (await wire.answer()).body == b"hello"


@pytest.mark.parametrize("body", ["content-length: 5", "transfer-encoding: chunked"])
async def test_an_offer_with_a_body_is_refused_before_anybody_is_asked(body: str) -> None:
    """The parser would take the body for the next request."""
    asked: list[str] = []

    async def note(request: Request) -> Response:
        asked.append(request.url.path)
        return PlainTextResponse("")

    async with place(http=[Route("/{any}", note, methods=["GET", "POST"])]) as here:
        wire = await here.dial()
        wire.send(request(body, target="/first", method="POST", upgrade="h2c"))
        wire.send(request(target="/smuggled", connection=None, upgrade=None))
        assert (await wire.answer()).status == 400
        await wire.is_cut()
        assert asked == []


# --- what the application decides --------------------------------------------------------------------------------


@on_both_loops
async def test_an_application_that_denies_is_answered_for_in_plain_http() -> None:
    busy = Response("too many", status_code=503, headers={"retry-after": "7"})
    async with place(denied(busy)) as here:
        wire = await here.dial()
        wire.send(request() + HELLO)
        answer = await wire.answer()
        assert (answer.status, answer.body) == (503, b"too many")
        assert answer.headers["retry-after"] == "7"
        assert "date" in answer.headers
        assert await wire.ends() == b""


async def test_a_denial_in_pieces_arrives_whole_and_once() -> None:
    async with place(denied(StreamingResponse(iter([b"too ", b"many"]), status_code=503))) as here:
        wire = await here.dial()
        wire.send(request())
        assert (await wire.answer()).body == b"too many"
        assert await wire.ends() == b""


async def test_a_close_before_the_accept_is_a_403() -> None:
    async with place(lambda websocket: websocket.close(4001)) as here:
        wire = await here.dial()
        wire.send(request())
        assert (await wire.answer()).status == 403
        assert await wire.ends() == b""


async def test_an_application_that_fails_before_the_accept_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(websocket: WebSocket) -> None:
        raise KeyError(websocket.url.path)

    async with place(app) as here:
        wire = await here.dial()
        wire.send(request())
        assert (await wire.answer()).status == 500
        assert await wire.ends() == b""
    assert errors(caplog) == ["Exception in ASGI application"]


@pytest.mark.parametrize("fails", [True, False])
async def test_an_application_that_accepts_and_then_fails_or_forgets_leaves_no_connection_behind(
    caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    async def app(websocket: WebSocket) -> None:
        await websocket.accept()
        if fails:
            raise KeyError

    async with place(app) as here:
        wire = await here.open()
        await wire.is_cut()
    assert len(errors(caplog)) == fails


@pytest.mark.parametrize(
    "second",
    [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.close"},
        {"type": "websocket.http.response.start", "status": 503},
        {"type": "websocket.http.response.body"},
    ],
    ids=lambda message: message["type"],
)
@pytest.mark.parametrize("first", ["websocket.accept", "websocket.close"])
async def test_what_asgi_would_allow_after_the_accept_or_nobody_allows_is_an_error_and_is_not_sent(
    first: str, second: dict[str, Any]
) -> None:
    """The accepted connection is to be taken over; nothing of ASGI's message by message is spoken here."""
    refused: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": first})
        try:
            await send(second)
        except RuntimeError as error:
            refused.append(str(error))

    async with listening(configure(app, "127.0.0.1", 0, print)) as server:  # type: ignore[arg-type]
        wire = await Place(server).dial()
        wire.send(request())
        await wire.answer()
        assert await wire.ends() == b""
        wire.writer.close()
    assert len(refused) == 1


# --- peers that leave --------------------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("reset", [True, False])
async def test_a_peer_that_leaves_before_the_accept_is_nobodys_error(
    caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    gone = asyncio.Event()
    let_on = asyncio.Event()

    async def app(websocket: WebSocket) -> None:
        await websocket.receive()
        assert (await websocket.receive())["type"] == "websocket.disconnect"
        gone.set()
        await let_on.wait()
        await websocket.close()

    async with place(app) as here:
        wire = await here.dial()
        wire.send(request())
        await asyncio.sleep(0)
        wire.reset() if reset else wire.writer.close()
        await asyncio.wait_for(gone.wait(), WAIT_SECONDS)
        let_on.set()
    assert errors(caplog) == []


@on_both_loops
@pytest.mark.parametrize("early", [b"", HELLO], ids=["silent", "early"])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_peer_that_leaves_between_the_accept_and_the_taking_over_is_lost_once(
    caplog: pytest.LogCaptureFixture, early: bytes, reset: bool
) -> None:
    door = Doorway()
    door.accept.set()
    async with place(door) as door.place:
        wire = await door.place.dial()
        wire.send(request() + early)
        assert (await wire.answer()).status == 101
        wire.reset() if reset else wire.writer.close()
        if not early:
            await until_forgotten(door.place)
        door.listen.set()
        assert await door.heard.ended() == LOST
        await door.place.keepalive.empty()
    assert errors(caplog) == []
    assert len(door.heard.ends) == 1


async def until_forgotten(here: Place) -> None:
    """Wait until the server knows that nobody is connected."""
    async with asyncio.timeout(WAIT_SECONDS):
        while here.connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)


@on_both_loops
@pytest.mark.parametrize("half", [b"", HELLO[:4]], ids=["between frames", "in a frame"])
@pytest.mark.parametrize("how", ["reset", "end", "half"])
async def test_an_open_connection_that_is_lost_is_told_as_1006_once(how: str, half: bytes) -> None:
    door = Doorway()
    door.open()
    async with place(door) as door.place:
        wire = await door.place.open(HELLO + half)
        await door.heard.until(lambda: door.heard.said)
        if how == "reset":
            wire.reset()
        elif how == "end":
            wire.writer.close()
        else:
            wire.writer.write_eof()
            await wire.is_cut()
        assert await door.heard.ended() == LOST
        await door.place.keepalive.empty()
    assert door.heard.ends == [LOST]


# --- a full pipe, both ways --------------------------------------------------------------------------------------


@on_both_loops
async def test_everything_queued_arrives_before_our_close_at_a_peer_that_reads_late() -> None:
    door = Doorway()
    door.open()
    sent = [bytes([number]) * 100_000 for number in range(15)]
    async with place(door) as door.place:
        wire = await door.place.open(HELLO, receive_bytes=8_192)
        await door.heard.until(lambda: door.heard.said)
        (socket,) = list(door.place.keepalive)
        for payload in sent:
            assert socket.send_binary(payload)  # type: ignore[attr-defined]
        socket.leave()
        for payload in sent:
            assert (await wire.frame())[1] == payload
        assert await wire.close_code() == Close.GOING_AWAY
        wire.send(client_frame(FINAL | CLOSE, close_body(1001, "")))
        assert await wire.ends() == b""
        assert await door.heard.ended() == (1001, "going-away")


@on_both_loops
async def test_a_peer_that_sends_too_much_reads_why_before_its_connection_ends() -> None:
    """A megabyte of its message is under way when the close comes."""
    door = Doorway()
    door.open()
    async with place(door) as door.place:
        wire = await door.place.open(client_frame(FINAL | TEXT, size=2**30))
        wire.send(bytes(2**20))
        assert await wire.close_code() == 1009
        assert await wire.ends() == b""
        assert await door.heard.ended() == (1009, "too-big")
        wire.writer.close()
        await door.place.keepalive.empty()


# --- the scope ---------------------------------------------------------------------------------------------------

TARGETS = {
    "a plain path": request(),
    "a query": request(target="/x?a=1&b=%20?c"),
    "an empty query": request(target="/x?"),
    "an encoded path": request(target="/x/%C3%A9%2F%20%zz"),
    "a doubled slash": request(target="//x//y"),
    "subprotocols": request("sec-websocket-protocol: relay.v1, rly_tick_abc", "Sec-WebSocket-Protocol:other"),
    "headers in any case": request("X-Mixed: Value", "x-mixed:  other  ", "X-Bytes: l\xe4uft", "X-Empty:"),
    "behind a proxy": request("X-Forwarded-For: 192.0.2.7, 198.51.100.1", "X-Forwarded-Proto: https", "Via: 1.1 lb"),
    "extensions that are offered": request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
}


@pytest.mark.parametrize("root_path", ["", "/root"])
async def test_the_application_is_told_what_plain_uvicorn_would_tell_it(root_path: str) -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await receive()
        await send({"type": "websocket.close"})

    for config in (configure(app, "127.0.0.1", 0, print), stock(app)):  # type: ignore[arg-type]
        config.root_path = root_path
        config.proxy_headers = False
        async with listening(config) as server:
            for asked in TARGETS.values():
                wire = await Place(server).dial()
                wire.send(asked)
                assert (await wire.answer()).status == 403
                wire.writer.close()
                assert scopes[-1].pop("client")[0] == "127.0.0.1"
                assert scopes[-1].pop("server") == ("127.0.0.1", server.port)
    for name, own, expected in zip(TARGETS, scopes, scopes[len(TARGETS) :], strict=False):
        assert callable(own["extensions"].pop(TAKE_OVER))
        assert own == expected, name
    assert len(scopes) == 2 * len(TARGETS)


@pytest.mark.parametrize("target", ["http://relay.test/x?a=1", "/x?a=1#part"])
async def test_a_target_may_name_the_host_or_a_part(target: str) -> None:
    async def app(websocket: WebSocket) -> None:
        scope = websocket.scope
        await websocket.send_denial_response(PlainTextResponse(f"{scope['raw_path']} {scope['query_string']}"))

    async with place(app) as here:
        wire = await here.dial()
        wire.send(request(target=target))
        assert (await wire.answer()).body == b"b'/x' b'a=1'"


@pytest.mark.parametrize("target", ["http://relay.test", "/\xe9", "http://relay.test:port/x"])
async def test_a_target_without_a_path_is_refused(target: str) -> None:
    async with place(Doorway()) as here:
        wire = await here.dial()
        wire.send(request(target=target))
        assert (await wire.answer()).status == 400
        assert await wire.ends() == b""


async def test_a_proxy_that_is_trusted_is_believed_about_whom_it_speaks_for() -> None:
    async def app(websocket: WebSocket) -> None:
        found = Addresses(["127.0.0.0/8"]).client(websocket.scope)
        await websocket.send_denial_response(PlainTextResponse(found))

    async with place(app) as here:
        wire = await here.dial()
        wire.send(request("X-Forwarded-For: 203.0.113.9, 198.51.100.1"))
        assert (await wire.answer()).body == b"198.51.100.1"


# --- the end of the process --------------------------------------------------------------------------------------


async def test_a_server_that_ends_cuts_those_that_are_still_in_their_handshake() -> None:
    door = Doorway()
    door.accept.set()
    async with place(door) as door.place:
        shaking = await door.place.open()
        ending = asyncio.create_task(door.place.end())
        await shaking.is_cut()
        door.listen.set()
        assert await door.heard.ended() == LOST
        await ending
