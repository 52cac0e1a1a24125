"""Shows what a connection may cost before its request is whole, and that no answer is put in place of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import relay.web.http
from relay.rules.limits import HEAD_BYTES, HEADERS_PER_REQUEST, KIB
from relay.web.http import PIECE_BYTES
from tests.support.carried import WAIT_SECONDS, Place, Wire, on_both_loops, place, request
from tests.web.test_upgrade import Doorway, hello

PLAIN = request(target="/hello", connection=None, upgrade=None)
BODY = request("content-length: 5", target="/body", method="POST", connection=None, upgrade=None)
CHUNKED = request("transfer-encoding: chunked", target="/body", method="POST", connection=None, upgrade=None)
SLOW = request(target="/slow", connection=None, upgrade=None)
A_HEAD = HEAD_BYTES - 1_000  # so much of anything, with the rest of a request, is not too much yet
MORE = b"x" * (2_000 + PIECE_BYTES)  # and this is


async def echo(request: Request) -> Response:
    """What was sent."""
    return Response(await request.body())


async def until(here: Place, limit: str) -> None:
    """Wait until somebody met a limit."""
    async with asyncio.timeout(WAIT_SECONDS):
        while limit not in here.limits:  # noqa: ASYNC110 - it is counted, not told
            await asyncio.sleep(0)


# --- the head ----------------------------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize(
    "begun",
    [
        b"GET /" + b"x" * A_HEAD,
        PLAIN[:-2] + b"name" + b"x" * A_HEAD,
        PLAIN[:-2] + b"cookie: " + b"x" * A_HEAD,
        request()[:-2] + b"cookie: " + b"x" * A_HEAD,
        PLAIN[:-2] + b"".join(b"x-%d: %b\r\n" % (number, b"x" * 1_000) for number in range(31)) + b"last: ",
        b"\r\n" * (A_HEAD // 2),
        CHUNKED + b"5;" + b"x" * A_HEAD,
        CHUNKED + b"0\r\ntrailer: " + b"x" * A_HEAD,
    ],
    ids=["target", "name", "value", "upgrade", "many", "nothing", "chunk", "trailer"],
)
async def test_a_head_that_is_too_large_is_refused_before_it_is_whole(begun: bytes) -> None:
    more = b"\r\n" * len(MORE) if begun.endswith(b"\r\n") else MORE
    async with place(Doorway(), http=[Route("/hello", hello), Route("/body", echo, methods=["POST"])]) as here:
        wire = await here.dial()
        for start in range(0, len(begun), PIECE_BYTES):
            wire.send(begun[start : start + PIECE_BYTES])
            await asyncio.sleep(0)
        assert here.limits == []
        wire.send(more)
        assert (await wire.answer()).status == 431
        assert await wire.ends() == b""
        assert here.limits == ["HEAD_BYTES"]


async def test_a_whole_handshake_whose_head_is_too_large_is_refused() -> None:
    door = Doorway()
    async with place(door) as door.place:
        wire = await door.place.dial()
        wire.send(request("cookie: " + "x" * HEAD_BYTES))
        assert (await wire.answer()).status == 431
        await wire.is_cut()
        assert not door.knocked.is_set()


async def test_a_head_may_have_so_many_headers_and_no_more() -> None:
    async with place(http=[Route("/hello", hello)]) as here:
        wire = await here.dial()
        usual = PLAIN.count(b"\r\n") - 2
        most = [f"x-{number}: " for number in range(HEADERS_PER_REQUEST - usual)]
        for _ in range(2):
            wire.send(request(*most, target="/hello", connection=None, upgrade=None))
            assert (await wire.answer()).body == b"hello"
        wire.send(request(*most, "one: too much", target="/hello", connection=None, upgrade=None))
        assert (await wire.answer()).status == 431
        assert await wire.ends() == b""
        assert here.limits == ["HEADERS_PER_REQUEST"]


@pytest.mark.parametrize("chunk", [None, 10, 10_000])
async def test_each_request_has_a_head_of_its_own_and_a_body_is_none_of_it(chunk: int | None) -> None:
    body, cookie = b"x" * (60 * KIB), "cookie: " + "x" * A_HEAD
    length, sent = f"content-length: {len(body)}", body
    if chunk is not None:
        length = "transfer-encoding: chunked"
        pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    async with place(http=[Route("/body", echo, methods=["POST"])]) as here:
        wire = await here.dial()
        for _ in range(3):
            wire.send(request(cookie, length, target="/body", method="POST", connection=None, upgrade=None) + sent)
            assert (await wire.answer()).body == body
        assert here.limits == []


# --- one answer for each request, in their order -----------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize(
    ("behind", "limit"),
    [
        (PLAIN[:20], "REQUEST_READ_SECONDS"),
        (BODY + b"half", "REQUEST_READ_SECONDS"),
        (PLAIN[:-2] + b"cookie: " + b"x" * (HEAD_BYTES + PIECE_BYTES), "HEAD_BYTES"),
        (b"no request\r\n\r\n", None),
        (request(), None),
    ],
    ids=["half a head", "half a body", "a large head", "garbage", "an upgrade"],
)
async def test_what_cannot_be_answered_behind_an_answer_that_is_due_ends_the_connection_after_that(
    monkeypatch: pytest.MonkeyPatch, behind: bytes, limit: str | None
) -> None:
    """An error in its place would be taken for the answer to a request that did what it was asked for."""
    monkeypatch.setattr(relay.web.http, "REQUEST_READ_SECONDS", 0.2)
    door, asked, let_on = Doorway(), list[str](), asyncio.Event()

    async def slow(request: Request) -> Response:
        asked.append(request.url.path)
        await let_on.wait()
        return PlainTextResponse("late")

    routes = [Route("/slow", slow), Route("/body", slow, methods=["POST"]), Route("/hello", slow)]
    async with place(door, http=list(routes)) as door.place:
        wire = await door.place.dial()
        wire.send(SLOW + behind)
        if limit is not None:
            await until(door.place, limit)
        wire.send(PLAIN)  # nobody reads this
        let_on.set()
        assert (await wire.answer()).body == b"late"
        await wire.is_cut()
        assert asked == ["/slow"]
        assert not door.knocked.is_set()


async def test_half_a_body_is_answered_by_408_unless_it_has_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.web.http, "REQUEST_READ_SECONDS", 0.2)
    began = asyncio.Event()

    async def early(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"early"
            began.set()
            await asyncio.get_running_loop().create_future()

        return StreamingResponse(pieces())

    routes = [Route("/body", echo, methods=["POST"]), Route("/early", early, methods=["POST"])]
    async with place(http=list(routes)) as here:
        wire, other = await here.dial(), await here.dial()
        other.send(BODY.replace(b"/body", b"/early") + b"half")
        wire.send(BODY + b"half")
        assert (await wire.answer()).status == 408
        assert await wire.ends() == b""
        await asyncio.wait_for(began.wait(), WAIT_SECONDS)
        assert (await other.answer()).status == 200
        assert await other.ends() == b"5\r\nearly\r\n"


# --- the time -----------------------------------------------------------------------------------------------------


async def test_a_request_that_is_not_whole_in_time_is_answered_by_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single bytes do not prolong it, neither do earlier requests; silence counts as well."""
    monkeypatch.setattr(relay.web.http, "REQUEST_READ_SECONDS", 0.2)
    async with place(http=[Route("/hello", hello)]) as here:
        silent, slow = await here.dial(), await here.dial()
        slow.send(request(target="/hello", connection=None, upgrade=None))
        assert (await slow.answer()).status == 200

        async def dribble() -> None:
            for byte in request() * 100:
                slow.send(bytes([byte]))
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        assert (await slow.answer()).status == 408
        dribbling.cancel()
        assert (await silent.answer()).status == 408
        assert await silent.ends() == b""
        assert here.limits == ["REQUEST_READ_SECONDS"] * 2


async def test_a_connection_between_two_requests_or_in_its_handshake_is_on_no_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.web.http, "REQUEST_READ_SECONDS", 0.05)
    door = Doorway()
    async with place(door, http=[Route("/hello", hello)]) as door.place:
        idle, shaking, silent = [await door.place.dial() for _ in range(3)]
        idle.send(request(target="/hello", connection=None, upgrade=None))
        shaking.send(request())
        assert (await idle.answer()).status == 200
        assert (await silent.answer()).status == 408
        door.open()
        assert (await shaking.answer()).status == 101
        idle.send(request(target="/hello", connection=None, upgrade=None))
        assert (await idle.answer()).status == 200
        assert door.place.limits == ["REQUEST_READ_SECONDS"]


async def test_of_too_many_unfinished_requests_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.web.http, "HALF_OPEN_CONNECTIONS", 3)
    async with place(http=[Route("/hello", hello)]) as here:
        wires: list[Wire] = []
        for _ in range(3):
            wires.append(await here.dial())
            await until_connected(here, len(wires))
        wires[0].send(request(target="/hello", connection=None, upgrade=None))
        assert (await wires[0].answer()).status == 200  # it is whole, and counts no more
        wires += [await here.dial(), await here.dial()]
        assert (await wires[1].answer()).status == 408
        assert here.limits == ["HALF_OPEN_CONNECTIONS"]
        wires[2].send(request(target="/hello", connection=None, upgrade=None))
        assert (await wires[2].answer()).status == 200


async def test_a_server_that_ends_lets_go_of_a_connection_that_has_said_nothing() -> None:
    async with place() as here:
        wire = await here.dial()
        await until_connected(here, 1)
        await here.end()
        assert await wire.ends() == b""


async def test_white_space_before_a_request_does_not_stop_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser passes over it and says nothing, so the request has not begun."""
    monkeypatch.setattr(relay.web.http, "REQUEST_READ_SECONDS", 0.05)
    async with place() as here:
        wire = await here.dial()
        wire.send(b"\r\n")
        assert (await wire.answer()).status == 408


async def until_connected(here: Place, count: int) -> None:
    """Wait until the server has accepted so many."""
    async with asyncio.timeout(WAIT_SECONDS):
        while here.connections < count:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)
