"""Tests of REST calls, the light ones and the pooled ones alike: which node is asked, and what an answer means."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.client import answers
from relay.client.api import api
from relay.client.rest import Rest
from relay.errors import Ambiguous, BadToken, Conflict, LimitReached, RelayError, Unavailable

NOBODY = "http://127.0.0.1:9"
Request = Callable[..., Awaitable[Any]]


class Node:
    """Answers every request the same way and remembers what it was asked."""

    def __init__(self, status: int = 200, body: Any = None, *, drop: bool = False) -> None:
        self.status = status
        self.body = b"" if body is None else json.dumps(body).encode()
        self.drop = drop  # take the request and close without an answer
        self.asked: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.received = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.split("\r\n")
            self.headers = {line.split(": ")[0].lower(): line.split(": ")[1] for line in rest if line}
            self.received = await reader.readexactly(int(self.headers.get("content-length", 0)))
            self.asked.append((first.split()[0], first.split()[1]))
            if not self.drop:
                kind = "application/problem+json" if self.status >= 400 else "application/json"
                answer = (
                    f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.body)}\r\nContent-Type: {kind}\r\n"
                    "Connection: close\r\n\r\n"
                )
                writer.write(answer.encode() + self.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    servers = []
    for node in nodes:
        server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
        node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


async def light(urls: list[str], method: str, path: str, **more: Any) -> Any:
    return await asyncio.to_thread(Rest(urls, "secret").request, method, path, **more)


async def pooled(urls: list[str], method: str, path: str, **more: Any) -> Any:
    async with api(urls, "secret") as caller:
        return await caller.request(method, path, **more)


both = pytest.mark.parametrize("request_of", [light, pooled])


@both
async def test_a_call_carries_token_query_and_body(request_of: Request) -> None:
    node = Node(201, {"id": "1"})
    async with running(node):
        query: Mapping[str, object] = {"q": "a b&c", "online": True, "none": None}
        assert await request_of([node.url], "POST", "/api/x", query=query, body={"name": "ä"}) == {"id": "1"}
    assert node.asked == [("POST", "/api/x?q=a%20b%26c&online=true")]
    assert node.headers["authorization"] == "Bearer secret"
    assert node.headers["content-type"] == "application/json"
    assert json.loads(node.received) == {"name": "ä"}


@both
async def test_a_problem_is_raised_as_the_error_it_names(request_of: Request) -> None:
    body = {"type": "t", "title": "T", "status": 409, "detail": "two", "code": "ambiguous", "candidates": [{"id": "1"}]}
    node = Node(409, body)
    async with running(node):
        with pytest.raises(Ambiguous, match="two") as caught:
            await request_of([node.url], "GET", "/api/resolve")
    assert caught.value.extra == {"candidates": [{"id": "1"}]}


@both
async def test_a_dead_node_is_passed_over_even_for_a_change(request_of: Request) -> None:
    node = Node(200, {})
    async with running(node):
        for _ in range(5):
            await request_of([NOBODY, node.url], "POST", "/api/x", body={})
    assert len(node.asked) == 5


@both
async def test_a_change_that_a_node_may_have_made_is_not_asked_of_another(request_of: Request) -> None:
    first, second = Node(drop=True), Node(drop=True)
    async with running(first, second):
        with pytest.raises(Unavailable):
            await request_of([first.url, second.url], "POST", "/api/x", body={})
    assert len(first.asked) + len(second.asked) == 1


@both
async def test_a_question_goes_to_a_second_node(request_of: Request) -> None:
    lost, troubled, well = Node(drop=True), Node(503, {"code": "unavailable"}), Node(200, {"fine": True})
    async with running(lost, troubled, well):
        for _ in range(6):
            assert await request_of([lost.url, troubled.url, well.url], "GET", "/api/x") == {"fine": True}


@both
async def test_with_no_node_alive_the_sentence_names_them(request_of: Request) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        await request_of([NOBODY], "GET", "/api/x")


@both
async def test_what_is_no_relay_is_said_to_be_none(request_of: Request) -> None:
    node = Node(200)
    node.body = b"<html>"
    async with running(node):
        with pytest.raises(Unavailable, match="not a relay"):
            await request_of([node.url], "GET", "/api/x")


@both
async def test_an_answer_without_a_body_is_nothing(request_of: Request) -> None:
    node = Node(204)
    async with running(node):
        assert await request_of([node.url], "DELETE", "/api/x") is None


async def test_lists_are_read_to_their_end() -> None:
    node = Node(200, {"machines": [{"id": "1"}], "next": None})
    async with running(node), api([node.url], "secret") as caller:
        assert await caller.machines(online=True) == [{"id": "1"}]
    assert node.asked == [("GET", "/api/machines?online=true")]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"code": "bad-token"}, BadToken),
        (418, {"code": "tea"}, RelayError),
        (409, {"code": "conflict", "message": "m"}, Conflict),
        (500, "text", Unavailable),
    ],
)
def test_every_bad_answer_is_an_error(status: int, body: Any, error: type[RelayError]) -> None:
    assert type(answers.problem(status, body, ours=True)) is error


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unavailable), (403, Unavailable), (404, Unavailable), (429, LimitReached)]
)
@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", b'{"code": "bad-token", "message": "m"}'])
def test_what_a_proxy_refuses_says_nothing_about_our_credential(
    status: int, error: type[RelayError], content: bytes
) -> None:
    with pytest.raises(error):
        answers.read(status, content, "application/json")


def test_a_silent_node_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        rest = Rest([f"http://127.0.0.1:{silent.getsockname()[1]}"], None, seconds=0.05)
        with pytest.raises(Unavailable, match="no answer in time"):
            rest.get("/api/x")


def test_a_proxy_of_the_environment_is_used_for_hosts_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        rest = Rest(["http://relay.example.com"], None, seconds=0.05)
        with pytest.raises(Unavailable):
            rest.get("/api/x")
        peer, _ = proxy.accept()
        with peer:
            assert peer.recv(4096).startswith(b"GET http://relay.example.com/api/x HTTP/1.1\r\n")
