"""Tests of what a browser's connection posts and its socket has not taken yet."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from relay.client.dial import Socket
from relay.client.ends import end_of
from relay.client.outbox import Outbox


class SlowSocket:
    """Takes a message when told to."""

    def __init__(self) -> None:
        self.offered: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.takes = asyncio.Event()

    async def send_text(self, text: str) -> None:
        self.offered.put_nowait(text)
        await self.takes.wait()

    send_binary: Any = send_text


class EndedSocket:
    """Ended before anything was sent."""

    async def send_text(self, text: str) -> None:
        raise end_of(None)


async def test_whoever_waits_for_an_empty_outbox_waits_for_what_the_socket_is_just_taking() -> None:
    outbox, socket = Outbox(), SlowSocket()
    writing = asyncio.create_task(outbox.write_to(cast(Socket, socket)))
    outbox.put("last words")
    assert await socket.offered.get() == "last words"
    waiting = asyncio.create_task(outbox.empty())
    await asyncio.sleep(0)
    assert not waiting.done()
    socket.takes.set()
    await waiting
    writing.cancel()
    await asyncio.wait([writing])


async def test_messages_and_frames_leave_in_the_order_in_which_they_were_posted() -> None:
    outbox, socket = Outbox(), SlowSocket()
    socket.takes.set()
    posted: list[str | bytes] = ["a", b"b", "c"]
    for outgoing in posted:
        outbox.put(outgoing)
    writing = asyncio.create_task(outbox.write_to(cast(Socket, socket)))
    assert [await socket.offered.get() for _ in posted] == posted
    writing.cancel()
    await asyncio.wait([writing])


async def test_what_was_posted_to_a_lost_socket_keeps_nobody_waiting() -> None:
    outbox = Outbox()
    outbox.put("to nobody")
    await outbox.write_to(cast(Socket, EndedSocket()))
    outbox.clear()
    await outbox.empty()
