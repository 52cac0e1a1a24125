"""Shows that WebSocket clients of all kinds, none of them ours, get along with a real node."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from loadtests.bench.contender import NotMeasured
from loadtests.compare.fetched import npm_program
from relay.rules import frames
from relay.rules.frames import Kind
from relay.rules.limits import KIB
from relay.rules.websocket import CLOSE
from tests.support.bare import Bare, BareMachine, a_session, bare, output
from tests.support.browser import person
from tests.support.carried import ACCEPTED, KEY
from tests.support.cluster import Team

WAIT_SECONDS = 20.0  # a client that is a process of its own starts meanwhile
PAYLOAD = bytes(range(256)) * (200 * KIB // 256)
CLIENT = Path(__file__).resolve().parent.parent / "support" / "ws_client"
STORY = CLIENT / "story.js"
GARBAGE = "no message of ours"
SAW = {
    "subprotocol": "relay.v1",
    "extensions": "",
    "frameBytes": len(PAYLOAD) + frames.HEADER_BYTES,
    "code": 4005,
    "reason": "protocol-error",
    "clean": True,
}


class Stage:
    """An agent with one session, and what a client of any kind needs to attach to it."""

    def __init__(self, team: Team) -> None:
        self.machine = BareMachine(team, "stage")
        self.session = a_session()
        self.url = team.owner.url
        self.token = team.owner.token
        self.needs = {
            "url": self.url.replace("http", "ws", 1) + "/ws/browser",
            "ticket": team.owner("POST", "/api/tickets")["ticket"],
            "machine": self.machine.id,
            "session": self.session["id"],
        }

    @contextmanager
    def agent(self) -> Iterator[Bare]:
        """The agent, welcomed."""
        with self.machine.agent(self.url, self.session) as agent:
            yield agent

    def play(self, agent: Bare) -> None:
        """The agent's side of the story: a frame of 200 KiB for the client, which sends it back as input."""
        number = int(agent.hears("attach")["attachment"])
        place = {"session": self.session["id"], "attachment": number}
        agent.say(type="attaching", epoch=1, first=1, recovered=True, driver=True, columns=80, rows=24, **place)
        agent.say(type="attached", head=0, **place)
        agent.frame(output(self.session, 1, attachment=number), PAYLOAD)
        header, payload = agent.hears_frame()
        assert (header.kind, header.attachment, header.sequence) == (Kind.INPUT, number, 1)
        assert payload == PAYLOAD


@pytest.fixture
def stage(team: Team) -> Stage:
    """A machine of a fresh team."""
    return Stage(team)


def back(frame: bytes) -> bytes:
    """The agent's frame as input."""
    header = frames.Header._make(frames.HEADER.unpack_from(frame))
    return frames.pack(header._replace(kind=Kind.INPUT, sequence=1), frames.payload(frame))


def hello(stage: Stage) -> list[str]:
    """What a browser says first, and what it says when it is welcomed."""
    attach = {"type": "attach", "ref": 1, "machine": stage.machine.id, "session": stage.session["id"]}
    return [json.dumps({"type": "hello", "client": "a-story-client", "label": "läuft"}), json.dumps(attach)]


async def with_websockets(stage: Stage) -> dict[str, Any]:
    """The story as the package `websockets` plays it, compression offered as it does."""
    words = [Subprotocol("relay.v1"), Subprotocol(stage.needs["ticket"])]
    first, then = hello(stage)
    async with connect(stage.needs["url"], subprotocols=words) as socket:
        saw: dict[str, Any] = {"subprotocol": socket.subprotocol, "messages": []}
        saw["extensions"] = ",".join(extension.name for extension in socket.protocol.extensions)
        await socket.send(first)
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    saw["frameBytes"] = len(message)
                    view = memoryview(back(message))
                    await socket.send([view[:7], view[7:100_000], view[100_000:]])  # in fragments
                    await (await socket.ping())
                    await socket.send(GARBAGE)
                else:
                    saw["messages"].append(json.loads(message)["type"])
                    if saw["messages"][-1] == "welcome":
                        await socket.send(then)
        except ConnectionClosed:
            pass
        return saw | {"code": socket.close_code, "reason": socket.close_reason, "clean": True}


async def with_aiohttp(stage: Stage) -> dict[str, Any]:
    """The story as `aiohttp` plays it."""
    words = ["relay.v1", stage.needs["ticket"]]
    first, then = hello(stage)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(stage.needs["url"], protocols=words, compress=15) as socket,
    ):
        saw: dict[str, Any] = {"subprotocol": socket.protocol, "messages": []}
        saw["extensions"] = "permessage-deflate" if socket.compress else ""
        await socket.send_str(first)
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                saw["frameBytes"] = len(message.data)
                await socket.ping(b"between")
                await socket.send_bytes(back(message.data))
                await socket.send_str(GARBAGE)
            elif message.type is aiohttp.WSMsgType.TEXT:
                saw["messages"].append(json.loads(message.data)["type"])
                if saw["messages"][-1] == "welcome":
                    await socket.send_str(then)
            else:
                assert message.type is aiohttp.WSMsgType.CLOSE
                return saw | {"code": message.data, "reason": message.extra, "clean": socket.close_code == 4005}


def agrees(saw: dict[str, Any]) -> None:
    """It saw everything that it should have."""
    assert {name: saw[name] for name in SAW} == SAW
    assert saw["messages"][0] == "welcome"
    assert "attached" in saw["messages"]


@pytest.mark.parametrize("play", [with_websockets, with_aiohttp])
async def test_a_client_in_python_gets_text_and_a_large_frame_both_ways_and_reads_why_it_is_closed(
    stage: Stage, play: Any
) -> None:
    with stage.agent() as agent:
        playing = asyncio.create_task(asyncio.to_thread(stage.play, agent))
        async with asyncio.timeout(WAIT_SECONDS):
            agrees(await play(stage))
            await playing


def test_the_blocking_client_of_websockets_says_goodbye_and_is_answered(stage: Stage) -> None:
    with bare(stage.url, "/ws/browser", stage.token) as browser:
        browser.say(type="hello", client="a-blocking-client")
        browser.hears("welcome")
        browser.socket.close(1000, "läuft")
        assert (browser.socket.close_code, browser.socket.close_reason) == (1000, "läuft")
        received = browser.socket.protocol.close_rcvd
        assert received is not None
        assert (received.code, received.reason) == (1000, "läuft")


def test_the_package_ws_of_node_gets_text_and_a_large_frame_both_ways_and_reads_why_it_is_closed(
    stage: Stage,
) -> None:
    try:
        node, program = npm_program(CLIENT, "main.js")
    except NotMeasured as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with (
        stage.agent() as agent,
        subprocess.Popen(
            [str(node), str(program), STORY.as_uri(), json.dumps(stage.needs)], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            stage.play(agent)
            said, _ = process.communicate(timeout=WAIT_SECONDS)
        finally:
            process.kill()
    agrees(json.loads(said))


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.xdist_group("browser")
async def test_a_page_in_chromium_gets_text_and_a_large_frame_both_ways_and_reads_why_it_is_closed(
    stage: Stage, browser: Browser
) -> None:
    with stage.agent() as agent:
        async with person(browser) as context, asyncio.timeout(WAIT_SECONDS):
            page = await context.new_page()
            await page.add_script_tag(path=STORY)
            playing = asyncio.create_task(asyncio.to_thread(stage.play, agent))
            agrees(await page.evaluate("needs => relayStory(WebSocket, needs)", stage.needs))
            await playing


# --- curl --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def curl() -> str:
    """The machine's curl."""
    path = shutil.which("curl")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no curl on this machine", pytrace=False)
        pytest.skip("no curl on this machine")
    return path


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Protocol": "relay.v1",
}


def words(**changed: str) -> list[str]:
    """Curl's words for the headers of a handshake; an empty one is left out."""
    headers = HANDSHAKE | {name.replace("_", "-"): value for name, value in changed.items()}
    return [word for name, value in headers.items() if value for word in ("--header", f"{name}: {value}")]


def test_curl_is_upgraded_and_gets_the_close_as_its_first_frame(stage: Stage, curl: str) -> None:
    """It has no token; it never answers the close, and is cut in time."""
    command = [curl, "--http1.1", "--silent", "--include", "--no-buffer", "--max-time", "15", *words()]
    started = subprocess.run([*command, f"{stage.url}/ws/browser"], capture_output=True, check=False)
    head, _, frame = started.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert f"sec-websocket-accept: {ACCEPTED}".encode() in head
    assert b"sec-websocket-protocol: relay.v1" in head
    reason = b"bad-token"
    assert frame == bytes([0x80 | CLOSE, 2 + len(reason)]) + (4002).to_bytes(2, "big") + reason
    assert started.returncode != 28, "curl gave up, the node did not"


WRONG: dict[str, tuple[list[str], int]] = {
    "no key": (words(Sec_WebSocket_Key=""), 400),
    "a bad key": (words(Sec_WebSocket_Key="short"), 400),
    "an old version": (words(Sec_WebSocket_Version="8"), 426),
    "POST": (["--request", "POST", *words()], 405),
    "HTTP/1.0": (["--http1.0", *words()], 400),
    "no upgrade": (words(Upgrade=""), 404),
    "another protocol": (words(Upgrade="h2c"), 404),
    "another host": (["--header", "Host: evil.test", *words()], 421),
}


@pytest.mark.parametrize(("given", "status"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_of_curls_is_answered_in_http(stage: Stage, curl: str, given: list[str], status: int) -> None:
    assert asked(curl, given, f"{stage.url}/ws/browser") == status


def test_curls_offer_of_http_2_is_answered_in_http_1(stage: Stage, curl: str) -> None:
    assert asked(curl, ["--http2"], f"{stage.url}/healthz") == 200


def asked(curl: str, given: list[str], url: str) -> int:
    """The status of the answer to a request."""
    command = [curl, "--silent", "--max-time", "10", "--output", os.devnull, "--write-out", "%{http_code}", *given, url]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)
