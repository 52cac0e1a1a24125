"""Shows that the same endpoints work under plain uvicorn, where no connection can be taken over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from relay.errors import Close, Invalid
from relay.node.socket import CONTROL_MARGIN_BYTES
from relay.opening import open_node
from relay.rules import frames, ids, websocket
from relay.rules.frames import Header, Kind
from relay.rules.limits import CONTROL_BYTES, FRAME_BYTES, OUTBOX_BYTES
from relay.rules.websocket import BINARY
from relay.settings import Settings
from relay.web.asgi_socket import AsgiSocket
from tests.support.bare import a_session, output
from tests.support.carried import WAIT_SECONDS, Heard, listening, stock
from tests.support.ports import free_ports
from tests.support.valkey import Valkey
from tests.web.site import SECRET, Clock, Site

TURNS = 200  # of the loop, in which a message moves on if it can


class Office:
    """One connection at a time, carried by ASGI, under plain uvicorn."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.socket: AsgiSocket
        self.before: Callable[[AsgiSocket], object] = lambda socket: None
        self.served = asyncio.Event()
        self.url = ""

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one connection."""
        await websocket.accept()
        self.socket = AsgiSocket(websocket)
        self.before(self.socket)
        try:
            await self.socket.serve(self.heard)
        finally:
            self.served.set()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ClientConnection]:
        """Somebody who connected and was heard."""
        async with connect(self.url, compression=None, max_queue=1, max_size=None) as client:
            await client.send("hello")
            await self.heard.until(lambda: self.heard.said)
            yield client


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A place to connect to."""
    office = Office()
    async with listening(stock(Starlette(routes=[WebSocketRoute("/", office.endpoint)]))) as server:
        office.url = f"ws://127.0.0.1:{server.port}/"
        yield office


async def fill(socket: AsgiSocket) -> None:
    """Queue messages that nobody reads until nothing moves: the systems and libraries between have all they take."""
    still = 0
    while still < TURNS:
        still = 0 if socket.send_binary(bytes(OUTBOX_BYTES)) else still + 1
        await asyncio.sleep(0)


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Wait until the server closes; its code and reason."""
    async with asyncio.timeout(WAIT_SECONDS):
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
    end = client.protocol.close_rcvd
    assert end is not None
    return end.code, end.reason


async def test_ready_frames_that_were_joined_arrive_as_the_messages_that_they_are(office: Office) -> None:
    payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 65_535, b"d" * 65_536, b"e"]
    async with office.client() as client:
        assert office.socket.send_ready(b"".join(websocket.frame(BINARY, payload) for payload in payloads))
        assert office.socket.send_text("läuft".encode())
        assert [await client.recv() for _ in payloads] == payloads
        assert await client.recv() == "läuft"


async def test_our_close_comes_behind_what_waits_and_is_told_once(office: Office) -> None:
    async with office.client() as client:
        office.socket.send_binary(b"last words")
        office.socket.close(Close.DRAINING)
        office.socket.close(Close.REPLACED)
        assert office.socket.send_ready(bytes(2 * OUTBOX_BYTES)), "it is leaving; nobody is slow"
        assert office.socket.send_text(bytes(2 * OUTBOX_BYTES))
        assert await client.recv() == b"last words"
        assert await closed(client) == (4200, "draining")
    assert await office.heard.ended() == (4200, "draining")


async def test_a_peers_close_is_told_with_its_code(office: Office) -> None:
    async with office.client() as client:
        await client.close(4321, "läuft")
        assert client.close_code == 4321
    assert await office.heard.ended() == (4321, "läuft")


async def test_a_peer_that_vanishes_is_lost(office: Office) -> None:
    async with office.client() as client:
        client.transport.abort()
        code, _reason = await office.heard.ended()
    assert code in (1005, 1006)  # plain uvicorn calls every connection that ends without a close 1005
    assert len(office.heard.ends) == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [("€" * (CONTROL_BYTES // 3 + 1), 1009), (bytes(FRAME_BYTES + 1), 1009)],
    ids=["text, in bytes", "frame"],
)
async def test_a_message_over_its_limit_closes_with_1009(office: Office, message: str | bytes, code: int) -> None:
    async with office.client() as client:
        await client.send(message)
        await client.send("behind")
        assert await closed(client) == (code, "too-big")
    assert office.heard.said == ["hello"]


async def test_a_message_that_is_refused_closes_with_its_code(office: Office) -> None:
    def act(said: str | bytes) -> None:
        if said == "bad":
            raise Invalid("no such message")

    office.heard = Heard(act)
    async with office.client() as client:
        await client.send("bad")
        await client.send("good")
        assert await closed(client) == (4005, "protocol-error")
    assert office.heard.said == ["hello", "bad"]


async def test_a_peer_that_does_not_read_has_an_outbox_with_an_end_and_then_is_closed_as_slow(office: Office) -> None:
    async with office.client() as client:
        assert not office.socket.send_binary(bytes(OUTBOX_BYTES + 1))
        await fill(office.socket)
        assert not office.socket.send_ready(websocket.frame(BINARY, b""))
        drained = asyncio.ensure_future(office.socket.drained())
        await asyncio.sleep(0)
        assert not drained.done()
        assert office.socket.send_text(bytes(CONTROL_MARGIN_BYTES))
        assert not office.socket.send_text(b"x")
        await drained
        client.transport.abort()
        await office.heard.ended()
    assert office.heard.ends == [(4102, "slow-consumer")]


async def test_who_waits_for_a_drained_outbox_goes_on_when_the_peer_reads(office: Office) -> None:
    async with office.client() as client:
        await fill(office.socket)
        drained = asyncio.ensure_future(office.socket.drained())
        async with asyncio.timeout(WAIT_SECONDS):
            while not drained.done():
                assert await client.recv() == bytes(OUTBOX_BYTES)
        client.transport.abort()  # its library would read all the rest first


async def test_what_runs_for_a_connection_ends_with_it_even_before_it_began(office: Office) -> None:
    """Spawned before anybody served it, while it was served, just before its end, and after."""
    told: list[str] = []

    async def work(name: str) -> None:
        try:
            told.append(name)
            await asyncio.get_running_loop().create_future()
        finally:
            told.append(f"{name} ended")

    office.before = lambda socket: socket.spawn(work("before"))
    async with office.client() as client:
        office.socket.spawn(work("during"))
        await asyncio.sleep(0)
        await client.close()
        await asyncio.wait_for(office.served.wait(), WAIT_SECONDS)
        office.socket.spawn(work("after"))
    assert sorted(told) == ["before", "before ended", "during", "during ended"]


async def test_a_task_that_fails_closes_its_connection(office: Office) -> None:
    async def work() -> None:
        raise Invalid("no")

    async with office.client() as client:
        office.socket.spawn(work())
        assert await closed(client) == (4005, "protocol-error")


# --- a whole node ------------------------------------------------------------------------------------------------


class Spoken:
    """One socket to a node, spoken to in messages."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client

    async def say(self, **message: Any) -> None:
        """Send a control message."""
        await self.client.send(json.dumps(message))

    async def hears(self, type: str) -> dict[str, Any]:
        """The next control message of this type."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                data = await self.client.recv()
                if isinstance(data, str) and (message := json.loads(data))["type"] == type:
                    return dict(message)

    async def hears_frame(self) -> bytes:
        """The payload of the next frame."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                data = await self.client.recv()
                if isinstance(data, bytes):
                    return frames.payload(data)


Dial = Callable[[str, str], Awaitable[Spoken]]


@asynccontextmanager
async def node_under_plain_uvicorn(folder: Path, valkey: Valkey) -> AsyncIterator[tuple[Dial, str, dict[str, Any]]]:
    """How to dial it, its owner's token, and a machine that registered there."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        redis_url=valkey.url, database_url=f"sqlite+aiosqlite:///{folder / 'db'}", secret=SECRET, public_url=url
    )
    async with open_node(settings) as node:
        site = Site(node, node.parts, Clock(), node.web(), valkey)
        await site.found()
        running = asyncio.create_task(node.run())
        clients: list[ClientConnection] = []

        async def dial(path: str, token: str) -> Spoken:
            words = [Subprotocol("relay.v1")]
            headers = {"authorization": f"Bearer {token}"}
            where = url.replace("http", "ws") + path
            clients.append(await connect(where, subprotocols=words, additional_headers=headers))
            return Spoken(clients[-1])

        try:
            async with listening(stock(site.app), port):
                owner = await site.caller(site.owner)
                machine = await (await site.key()).register("plain")
                yield dial, owner.token, machine
                for client in clients:
                    await client.close()
                await node.errands.finished()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_an_agent_and_a_browser_meet_on_a_node_under_plain_uvicorn(tmp_path: Path, valkey: Valkey) -> None:
    """Hello, attach, frames both ways, several of them joined on their way, and the codes of the ends."""
    session = a_session()
    async with node_under_plain_uvicorn(tmp_path, valkey) as (dial, token, registered):
        agent = await dial("/ws/agent", registered["machineToken"])
        hello = {"instance": "00000000-0000-4000-8000-000000000001", "hostname": "plain", "version": "1"}
        await agent.say(type="hello", sessions=[session], **hello)
        await agent.hears("welcome")
        browser = await dial("/ws/browser", token)
        await browser.say(type="hello", client="a-plain-client")
        await browser.hears("welcome")
        await browser.say(type="attach", ref=1, machine=registered["machine"]["id"], session=session["id"])
        number = (await agent.hears("attach"))["attachment"]
        place = {"session": session["id"], "attachment": number}
        await agent.say(type="attaching", epoch=1, first=1, recovered=True, driver=True, columns=80, rows=24, **place)
        await agent.say(type="attached", head=0, **place)
        await browser.hears("attached")
        for sequence in range(1, 40):
            await agent.client.send(frames.pack(output(session, sequence), b"%d" % sequence * sequence))
        for sequence in range(1, 40):
            assert await browser.hears_frame() == b"%d" % sequence * sequence
        typed = Header(Kind.INPUT, 0, number, 1, ids.raw(session["id"]), 1)
        await browser.client.send(frames.pack(typed, b"typed"))
        assert await agent.hears_frame() == b"typed"
        await browser.client.send("no message of ours")
        assert await closed(browser.client) == (4005, "protocol-error")
        assert (await agent.hears("detach"))["attachment"] == number
        refused = await dial("/ws/agent", "rly_mach_nonsense")
        assert await closed(refused.client) == (4002, "bad-token")
