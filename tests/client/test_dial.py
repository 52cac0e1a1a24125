"""Tests of opening sockets: which node answers, and how the socket ends."""

from __future__ import annotations

import http
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relay import errors
from relay.client import dial
from relay.client.dial import Deadlines, Socket
from relay.client.ends import (
    NO_CLOSE_FRAME,
    Closed,
    ClosedBackOff,
    ClosedForGood,
    ClosedSoon,
    Shed,
    Unreachable,
)

NOBODY = "http://127.0.0.1:9"
PROBLEM = {"Content-Type": "application/problem+json"}


@asynccontextmanager
async def node(
    *,
    status: int | None = None,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    close: int | None = None,
    subprotocol: str = "relay.v1",
) -> AsyncIterator[tuple[str, list[Request]]]:
    requests: list[Request] = []

    async def serve_one(socket: ServerConnection) -> None:
        if close is not None:
            await socket.close(close, "as asked")
            return
        async for message in socket:
            await socket.send(message)

    def answer(socket: ServerConnection, request: Request) -> Response | None:
        requests.append(request)
        if status is None:
            return None
        response = socket.respond(http.HTTPStatus(status), body)
        for name, value in (headers or {}).items():
            response.headers.pop(name, None)  # or it would be sent twice
            response.headers[name] = value
        return response

    async with serve(
        serve_one, "127.0.0.1", 0, subprotocols=[Subprotocol(subprotocol)], process_request=answer, close_timeout=1
    ) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


@asynccontextmanager
async def dialled(urls: list[str], token: str | None = None, random: Random | None = None) -> AsyncIterator[Socket]:
    opened = await dial.open_socket(urls, "/ws/agent", token, random=random)
    try:
        yield opened
    finally:
        await opened.close()


async def test_text_and_frames_travel_both_ways_with_the_token_in_a_header() -> None:
    async with node() as (url, requests), dialled([url], "secret") as opened:
        await opened.send_text("words")
        await opened.send_text(b"more words")
        await opened.send_binary(b"\x00\x01")
        assert [await opened.receive() for _ in range(3)] == ["words", "more words", b"\x00\x01"]
        assert opened.node == url
        assert requests[0].headers["Authorization"] == "Bearer secret"
        assert requests[0].path == "/ws/agent"
        assert "Sec-WebSocket-Extensions" not in requests[0].headers


async def test_a_dead_node_is_passed_over_for_one_that_lives() -> None:
    async with node() as (url, _):
        for seed in range(4):
            async with dialled([NOBODY, url], random=Random(seed)) as opened:
                assert opened.node == url


async def test_with_no_node_alive_each_of_them_is_named() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        await dial.open_socket([NOBODY], "/ws/agent", None)
    with pytest.raises(Unreachable, match="no address"):
        await dial.open_socket([], "/ws/agent", None)


async def test_a_node_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="did not answer within"):
            await dial.open_socket([url], "/ws/agent", None, deadlines=Deadlines(open=0.05))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, '{"code": "bad-token", "detail": "signed out"}', errors.BadToken),
        (403, '{"code": "forbidden", "title": "no"}', errors.Forbidden),
        (410, '{"code": "machine-revoked", "message": "gone"}', errors.MachineRevoked),
    ],
)
async def test_what_a_node_says_for_good_is_raised_at_once(
    status: int, body: str, error: type[errors.RelayError]
) -> None:
    async with node(status=status, body=body, headers=PROBLEM) as (url, _):
        with pytest.raises(error):
            await dial.open_socket([url], "/ws/agent", "x")


async def test_only_the_relay_itself_can_refuse_for_good_and_not_what_stands_before_it() -> None:
    page = {"Content-Type": "text/html"}
    async with node(status=403, body="<h1>Log in first</h1>", headers=page) as (guarded, _), node() as (url, _):
        for seed in range(4):
            async with dialled([guarded, url], "x", random=Random(seed)) as opened:
                assert opened.node == url
        with pytest.raises(Unreachable, match="403"):
            await dial.open_socket([guarded], "/ws/agent", "x")


async def test_a_node_in_trouble_is_passed_over() -> None:
    async with node(status=503) as (troubled, _), node() as (url, _):
        for seed in range(4):
            async with dialled([troubled, url], random=Random(seed)) as opened:
                assert opened.node == url
        with pytest.raises(Unreachable, match="503"):
            await dial.open_socket([troubled], "/ws/agent", None)


async def test_a_busy_node_is_passed_over_for_one_that_has_time() -> None:
    async with node(status=503, headers={"Retry-After": "3"}) as (busy, asked), node() as (url, _):
        for seed in range(4):
            async with dialled([busy, url], random=Random(seed)) as opened:
                assert opened.node == url
        assert len(asked) < 4


async def test_where_nobody_has_time_each_is_asked_once_and_the_soonest_turn_is_kept() -> None:
    async with (
        node(status=503, headers={"Retry-After": "17"}) as (later, first),
        node(status=503, headers={"Retry-After": "4"}) as (sooner, second),
        node(status=503) as (troubled, third),
    ):
        for seed in range(4):
            with pytest.raises(Shed, match="asks to come back in 17 s") as caught:
                await dial.open_socket([later, sooner, troubled, NOBODY], "/ws/agent", None, random=Random(seed))
            assert (caught.value.node, caught.value.again_seconds) == (sooner, 4.0)
        assert [len(first), len(second), len(third)] == [4, 4, 4]


async def test_what_does_not_speak_our_subprotocol_is_refused() -> None:
    async with node(subprotocol="other") as (url, _):
        with pytest.raises((errors.UnsupportedVersion, Unreachable)):
            await dial.open_socket([url], "/ws/agent", None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4001, ClosedForGood),
        (4005, ClosedForGood),
        (1009, ClosedForGood),
        (4100, ClosedBackOff),
        (4200, ClosedSoon),
        (1001, ClosedSoon),
        (1011, ClosedSoon),
    ],
)
async def test_each_end_says_whether_to_come_back(code: int, kind: type[Closed]) -> None:
    async with node(close=code) as (url, _), dialled([url]) as opened:
        with pytest.raises(kind) as caught:
            await opened.receive()
        assert caught.value.close_code == code
        assert caught.value.close_reason == "as asked"


async def test_a_socket_that_is_lost_ends_without_a_code_of_ours() -> None:
    async with node() as (url, _), dialled([url]) as opened:
        opened.abort()
        with pytest.raises(ClosedSoon) as caught:
            await opened.receive()
        assert caught.value.close_code == NO_CLOSE_FRAME
        with pytest.raises(Closed):
            await opened.send_text("to nobody")


def test_an_https_node_is_dialled_with_tls() -> None:
    assert dial.socket_url("https://relay.example.com", "/ws/agent") == "wss://relay.example.com/ws/agent"
    assert dial.socket_url("http://127.0.0.1:8000/", "/ws/agent") == "ws://127.0.0.1:8000/ws/agent"


def test_every_node_comes_first_now_and_then() -> None:
    urls = ["a", "b", "c", "a"]
    firsts = {dial.in_random_order(urls, Random(seed))[0] for seed in range(30)}
    assert firsts == {"a", "b", "c"}
    assert len(dial.in_random_order(urls)) == 3
