"""Shows what a proxy does to what passes: each fault as both ends feel it, and what is left of it when it heals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis

from tests.faults.proxy import Lender, Proxy, proxies
from tests.faults.resp import Resp, is_pushed
from tests.support.patience import within
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey

WAIT_SECONDS = 10.0
SHORT_SECONDS = 0.1  # for what must not happen; a fault that let it pass would do so at once

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def lend() -> Iterator[Lender]:
    with proxies() as lender:
        yield lender


class Echo:
    """A server that says everything again, and remembers how its connections ended."""

    def __init__(self) -> None:
        self.port = 0
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while data := await reader.read(65_536):
                self.heard.put_nowait(data)
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait("closed")
        except ConnectionError:
            self.ends.put_nowait("reset")
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()

    async def end(self) -> str:
        """How the next connection ends."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.ends.get()


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


Dial = Callable[[Proxy], Awaitable[Streams]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Opens connections, which end with the test."""
    writers = []

    async def open_one(proxy: Proxy) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield open_one
    for writer in writers:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def said_again(streams: Streams, words: bytes) -> bool:
    """Whether the echo of these words comes back."""
    reader, writer = streams
    writer.write(words)
    async with asyncio.timeout(WAIT_SECONDS):
        return await reader.readexactly(len(words)) == words


async def stays_silent(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(SHORT_SECONDS):
            return not await streams[0].read(1)
    except TimeoutError:
        return True


async def is_reset(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await streams[0].read(1)
    except ConnectionError:
        return True
    return False


async def test_without_a_fault_everything_passes_and_ends_as_it_is_ended(lend: Lender, dial: Dial) -> None:
    """More than fits into any buffer, both ways at once."""
    async with echo() as server:
        reader, writer = await dial(lend.to(("127.0.0.1", server.port)))
        said = bytes(range(256)) * 8_192

        async def say() -> None:
            writer.write(said)
            await writer.drain()
            writer.write_eof()

        saying = asyncio.create_task(say())
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reader.read(-1) == said
        await saying
        assert await server.end() == "closed"


async def test_a_delay_is_added_each_way_and_keeps_the_order(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        streams = await dial(proxy)
        assert await said_again(streams, b"before")
        proxy.delay(0.1)
        began = time.monotonic()
        for word in (b"one", b"two", b"three"):
            streams[1].write(word)
            await streams[1].drain()
        assert await streams[0].readexactly(11) == b"onetwothree"
        assert 0.2 <= time.monotonic() - began < 0.2 + within(WAIT_SECONDS / 2)


async def test_what_is_stalled_arrives_when_healed(lend: Lender, dial: Dial) -> None:
    """New connections are accepted meanwhile, and hear nothing either."""
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        old = await dial(proxy)
        assert await said_again(old, b"before")
        proxy.stall()
        new = await dial(proxy)
        old[1].write(b"held")
        new[1].write(b"held too")
        assert await stays_silent(old)
        assert await stays_silent(new)
        proxy.heal()
        assert await old[0].readexactly(4) == b"held"
        assert await new[0].readexactly(8) == b"held too"


async def test_a_half_open_connection_swallows_even_its_end_and_is_reset_when_healed(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        streams = await dial(proxy)
        assert await said_again(streams, b"before")
        proxy.half_open()
        streams[1].write(b"swallowed")
        assert await stays_silent(streams)
        gone = await dial(proxy)
        gone[1].write(b"swallowed")
        gone[1].close()
        assert await stays_silent(streams)
        assert server.ends.empty(), "the server heard of an end"
        proxy.heal()
        assert await is_reset(streams)
        assert {await server.end(), await server.end()} == {"reset"}
        assert await said_again(await dial(proxy), b"after")


async def test_what_is_swallowed_one_way_passes_the_other_way(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        streams = await dial(proxy)
        proxy.half_open(way="down")
        streams[1].write(b"heard, and not answered")
        assert await stays_silent(streams)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await server.heard.get() == b"heard, and not answered"


async def test_a_fault_may_concern_only_those_who_asked_for_something(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        agent, browser = await dial(proxy), await dial(proxy)
        assert await said_again(agent, b"GET /ws/agent")
        assert await said_again(browser, b"GET /ws/browser")
        proxy.half_open(only=b"/ws/agent")
        assert await said_again(browser, b"more")
        agent[1].write(b"more")
        assert await stays_silent(agent)
        assert proxy.reset(only=b"/ws/browser") == 1
        assert await is_reset(browser)


async def test_a_reset_ends_what_is_there_and_a_refusal_what_would_come(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        streams = await dial(proxy)
        assert await said_again(streams, b"before")
        proxy.refuse()
        assert await said_again(streams, b"still")
        with pytest.raises(ConnectionRefusedError):
            await dial(proxy)
        assert proxy.reset() == 1
        assert await is_reset(streams)
        assert await server.end() == "reset"
        proxy.heal()
        assert await said_again(await dial(proxy), b"again")


async def test_a_connection_is_cut_at_the_byte(lend: Lender, dial: Dial) -> None:
    async with echo() as server:
        proxy = lend.to(("127.0.0.1", server.port))
        proxy.cut_after(1_000, way="down")
        reader, writer = await dial(proxy)
        writer.write(bytes(5_000))
        got = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(1):
                got += data
        assert len(got) <= 1_000
        assert proxy.count() == 0


async def test_the_end_of_the_server_is_passed_on(lend: Lender, dial: Dial) -> None:
    """A proxy hides no death: whoever it serves learns of it at once."""
    proxy = lend.to(("127.0.0.1", 1))
    reader, _ = await dial(proxy)
    async with asyncio.timeout(WAIT_SECONDS):
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_a_deaf_subscriber_is_told_nothing_while_commands_are_answered(lend: Lender, valkey: Valkey) -> None:
    """Subscriptions are confirmed, pings answered; only what is published never comes, until healed."""
    proxy = lend.to(str(valkey.socket), redis=True)
    async with Redis.from_url(f"redis://127.0.0.1:{proxy.port}/0", protocol=3) as redis, redis.pubsub() as heard:
        await heard.subscribe("news")
        assert (await heard.get_message(timeout=WAIT_SECONDS) or {})["type"] == "subscribe"
        proxy.deafen()
        assert await redis.publish("news", "unheard") == 1
        assert await redis.ping()
        assert await heard.get_message(timeout=SHORT_SECONDS) is None
        await heard.subscribe("more")
        assert (await heard.get_message(timeout=WAIT_SECONDS) or {})["channel"] == b"more"
        proxy.heal()
        await redis.publish("news", "heard")
        assert (await heard.get_message(timeout=WAIT_SECONDS) or {})["data"] == b"heard"


def test_redis_messages_are_found_whole_wherever_they_are_cut() -> None:
    messages = [
        b"+OK\r\n",
        b"$5\r\nab\r\nc\r\n",
        b"$-1\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:7\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n",
        b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
        b">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n",
        b"*-1\r\n",
        b"_\r\n",
    ]
    stream = b"".join(messages)
    for size in range(1, len(stream) + 1):
        resp = Resp()
        found = [each for at in range(0, len(stream), size) for each in resp.feed(stream[at : at + size])]
        assert found == messages
    assert [is_pushed(message) for message in messages] == [False] * 6 + [True] + [False] * 2
    assert is_pushed(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n")
    assert not is_pushed(b">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n")
