"""Shows whom a node pings and when, without a second passing."""

from __future__ import annotations

import asyncio
from collections import Counter

from relay.node.keepalive import PAYLOAD_BYTES, PONG_TICKS, ROUND_TICKS, Keepalive
from relay.rules import websocket


class Peer:
    """A connection that notes at which tick it was pinged and asked for its pong."""

    def __init__(self, ticks: Ticks) -> None:
        self.slot = 0
        self.ticks = ticks
        self.pinged: list[int] = []
        self.checked: list[int] = []
        self.payloads: list[bytes] = []

    def ping(self, payload: bytes, frame: bytes) -> None:
        """Note it."""
        assert frame == websocket.frame(websocket.PING, payload)
        self.payloads.append(payload)
        self.pinged.append(self.ticks.now)

    backlog_bytes = 0

    def check_pong(self) -> None:
        """Note it, if there was a ping."""
        if self.pinged:
            self.checked.append(self.ticks.now)

    def leave(self) -> None:
        """Nobody asks."""


class Ticks:
    """A node's keepalive and its time."""

    def __init__(self) -> None:
        self.keepalive = Keepalive()
        self.now = 0

    def join(self) -> Peer:
        """A new connection."""
        peer = Peer(self)
        self.keepalive.add(peer)
        return peer

    def pass_by(self, times: int) -> None:
        """So many ticks."""
        for _ in range(times):
            self.keepalive.tick()
            self.now += 1


def test_a_peer_is_pinged_once_a_round_and_its_pong_is_due_in_time() -> None:
    ticks = Ticks()
    ticks.pass_by(7)
    peer = ticks.join()
    ticks.pass_by(4 * ROUND_TICKS)
    first = peer.pinged[0]
    assert peer.pinged == [first + ROUND_TICKS * turn for turn in range(4)]
    assert peer.checked == [at + PONG_TICKS for at in peer.pinged if at + PONG_TICKS < ticks.now]
    assert first - 7 >= ROUND_TICKS // 2


def test_a_storm_of_newcomers_is_not_pinged_at_once() -> None:
    ticks = Ticks()
    peers = [ticks.join() for _ in range(1_000)]
    ticks.pass_by(ROUND_TICKS)
    pinged = Counter(at for peer in peers for at in peer.pinged)
    assert sum(pinged.values()) == len(peers)
    assert max(pinged.values()) <= 2 * len(peers) // ROUND_TICKS


def test_each_ping_has_a_payload_that_nobody_guesses() -> None:
    ticks = Ticks()
    peer = ticks.join()
    ticks.pass_by(20 * ROUND_TICKS)
    assert len(set(peer.payloads)) == 20
    assert {len(payload) for payload in peer.payloads} == {PAYLOAD_BYTES}


def test_one_who_leaves_is_pinged_no_more_even_in_the_tick_in_which_it_leaves() -> None:
    ticks = Ticks()
    peers = [ticks.join() for _ in range(ROUND_TICKS)]

    class Leaver(Peer):
        """It leaves when it is pinged, as a connection does whose transport fails."""

        def ping(self, payload: bytes, frame: bytes) -> None:
            super().ping(payload, frame)
            ticks.keepalive.discard(self)

    leaver = Leaver(ticks)
    ticks.keepalive.add(leaver)
    ticks.pass_by(3 * ROUND_TICKS)
    assert len(leaver.pinged) == 1
    assert {len(peer.pinged) for peer in peers} == {3}
    assert set(ticks.keepalive) == set(peers)


async def test_somebody_may_wait_until_nobody_is_left() -> None:
    ticks = Ticks()
    await ticks.keepalive.empty()
    one, other = ticks.join(), ticks.join()
    waiting = asyncio.ensure_future(ticks.keepalive.empty())
    await asyncio.sleep(0)
    ticks.keepalive.discard(one)
    ticks.keepalive.discard(one)
    await asyncio.sleep(0)
    assert not waiting.done()
    ticks.keepalive.discard(other)
    await waiting
