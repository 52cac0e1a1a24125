"""Tests what waits for a socket: its order, its warning, its limit."""

from __future__ import annotations

import asyncio

from relay.agent.outbox import EASED_BYTES, PRESSED_BYTES, Outbox
from relay.rules import limits


async def test_messages_come_out_in_order_and_count_until_they_are_sent() -> None:
    outbox = Outbox(lambda: None)
    outbox.put(b"one", text=True)
    outbox.put(b"two", text=False)
    first = await outbox.take()
    assert (first.data, first.text, outbox.size) == (b"one", True, 6)
    outbox.sent()
    assert ((await outbox.take()).data, outbox.size) == (b"two", 3)
    outbox.sent()
    await outbox.emptied()


async def test_who_takes_waits_for_a_message() -> None:
    outbox = Outbox(lambda: None)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.put(b"x", text=True)
    assert (await taking).data == b"x"


async def test_it_says_once_that_it_is_pressed_and_once_that_it_is_eased() -> None:
    said: list[bool] = []
    outbox = Outbox(lambda: said.append(outbox.pressed))
    piece = EASED_BYTES // 2
    for _ in range(PRESSED_BYTES // piece + 2):
        outbox.put(bytes(piece), text=False)
    assert said == [True]
    while outbox.size:
        await outbox.take()
        outbox.sent()
    assert said == [True, False]


async def test_it_overflows_beyond_its_limit() -> None:
    outbox = Outbox(lambda: None)
    outbox.put(bytes(limits.OUTBOX_BYTES), text=False)
    assert not outbox.overflowed
    outbox.put(b"x", text=False)
    assert outbox.overflowed
