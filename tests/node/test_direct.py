"""Shows that a connection carried straight over its transport keeps every rule of WebSocket, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from relay.errors import Close, Invalid
from relay.node.direct import LATE_SECONDS, LINGER_SECONDS, Carriage, DirectSocket
from relay.node.errands import Errands
from relay.node.keepalive import PONG_TICKS, ROUND_TICKS, Keepalive
from relay.node.socket import CONTROL_MARGIN_BYTES, DRAINED_BYTES, FAREWELL_SECONDS
from relay.rules import websocket
from relay.rules.limits import CONTROL_BYTES, FRAME_BYTES, OUTBOX_BYTES
from relay.rules.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_body
from tests.support.carried import Heard
from tests.support.client_stream import FINAL, client_frame

LOST = (1006, "")


class Timer:
    """What a clock that stands still gives for a call later."""

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """It is not to happen."""
        self.cancelled = True


class Clock:
    """A loop in which time does not pass."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.create_future = loop.create_future
        self.call_soon = loop.call_soon
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Note it."""
        self.timers.append(Timer(seconds, call))
        return self.timers[-1]

    def due(self) -> list[float]:
        """In how many seconds something will happen."""
        return [timer.seconds for timer in self.timers if not timer.cancelled]


class Pipe(asyncio.Transport):
    """A transport whose peer reads exactly what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: DirectSocket
        self.written: list[bytes] = []
        self.waiting = 0
        self.reads = True  # else what is written waits
        self.paused_writing = False
        self.reading = True
        self.ends: list[str] = []  # how this side ended it
        self.high = self.low = 0

    @property
    def ended(self) -> str:
        """How this side ended it last."""
        return self.ends[-1] if self.ends else ""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high, self.low = high or 0, low or 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.ended != "abort", "written to what is cut"
        self.written.append(bytes(data))
        if not self.reads:
            self.waiting += len(data)
            if self.waiting > self.high and not self.paused_writing:
                self.paused_writing = True
                self.protocol.pause_writing()

    def taken(self, size: int) -> None:
        """The peer reads so much of what waits."""
        self.waiting -= size
        if self.waiting <= self.low and self.paused_writing:
            self.paused_writing = False
            self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.ended in ("close", "abort")

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ends.append("eof")

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def says(self) -> list[tuple[int, bytes]]:
        """Every frame that was written so far."""
        stream, frames = b"".join(self.written), []
        while stream:
            size, at = stream[1], 2
            if size >= 126:
                at += 2 if size == 126 else 8
                size = int.from_bytes(stream[2:at], "big")
            frames.append((stream[0] & 0x0F, stream[at : at + size]))
            stream = stream[at + size :]
        return frames

    def close_code(self) -> int:
        """The code of the close that was written, once and as the last frame of all."""
        closes = [body for kind, body in self.says() if kind == CLOSE]
        assert len(closes) == 1, closes
        assert self.says()[-1] == (CLOSE, closes[0])
        return int.from_bytes(closes[0][:2], "big")


class Line:
    """One connection, its clock, and who listens."""

    def __init__(self, errands: Errands) -> None:
        self.keepalive = Keepalive()
        carriage = Carriage(errands, self.keepalive)
        self.clock = Clock(carriage.loop)
        carriage.loop = self.clock  # type: ignore[assignment]
        self.socket = DirectSocket(carriage)
        self.pipe = Pipe()
        self.pipe.protocol = self.socket
        self.socket.connection_made(self.pipe)
        self.heard = Heard()

    async def open(self, act: Callable[[str | bytes], None] = lambda said: None) -> Line:
        """Somebody listens from now on."""
        self.heard = Heard(act)
        await self.socket.serve(self.heard)
        return self

    def hears(self, *frames: bytes) -> None:
        """All of it comes in one read."""
        self.socket.data_received(b"".join(frames))

    def lost(self) -> None:
        """The transport tells its end, as it does after `close` and `abort` too."""
        self.socket.connection_lost(None)

    def fills(self, spare: int = 0) -> None:
        """The peer stops reading, and its outbox is filled but for so many bytes."""
        self.pipe.reads = False
        while (room := OUTBOX_BYTES - spare - self.pipe.waiting) > 0:
            assert self.socket.send_ready(bytes(min(room, DRAINED_BYTES)))
        self.pipe.written.clear()
        assert self.pipe.waiting == OUTBOX_BYTES - spare


def whole(opcode: int, payload: bytes = b"") -> bytes:
    """A message or control frame of a client."""
    return client_frame(FINAL | opcode, payload)


def goodbye(code: int = 1000, reason: str = "") -> bytes:
    """A client's close."""
    return whole(CLOSE, close_body(code, reason))


@pytest.fixture
async def line(errands: Errands) -> Line:
    """A connection to which nobody listens yet."""
    return Line(errands)


# --- messages ----------------------------------------------------------------------------------------------------


async def test_messages_of_one_read_are_handed_over_in_order_and_flushed_once(line: Line) -> None:
    await line.open()
    line.hears(whole(TEXT, b"one"), whole(BINARY, b"two"), whole(PING, b"?"), client_frame(BINARY, b"thr"))
    assert line.heard.said == ["one", b"two"]
    assert line.heard.flushes == 1
    assert line.pipe.says() == [(PONG, b"?")]
    line.hears(whole(CONTINUATION, b"ee"))
    assert line.heard.said[2:] == [b"three"]


async def test_what_comes_before_anybody_listens_waits_and_stops_the_reading(line: Line) -> None:
    line.hears(whole(TEXT, b"hello"))
    assert not line.pipe.reading
    await line.open()
    assert line.heard.said == ["hello"]
    assert line.pipe.reading


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (client_frame(FINAL | BINARY, size=FRAME_BYTES + 1)[:10], 1009),
        (client_frame(BINARY, bytes(FRAME_BYTES)) + client_frame(FINAL | CONTINUATION, b"x"), 1009),
        (whole(TEXT, b"x" * (CONTROL_BYTES + 1)), 1009),
        (client_frame(FINAL | TEXT | 0x40, b"packed"), 1002),
        (client_frame(FINAL | TEXT, b"plain", mask=None), 1002),
        (whole(TEXT, b"\xff"), 1007),
    ],
    ids=["frame", "fragments", "text", "compressed", "unmasked", "utf-8"],
)
async def test_a_message_against_the_rules_ends_the_connection_by_its_code(
    line: Line, stream: bytes, code: int
) -> None:
    await line.open()
    line.hears(whole(TEXT, b"before"), stream, whole(TEXT, b"behind"))
    assert line.pipe.close_code() == code
    assert line.heard.said == ["before"]
    line.lost()
    assert line.heard.ends[0][0] == code
    assert len(line.heard.ends) == 1


async def test_messages_of_exactly_the_limits_pass(line: Line) -> None:
    await line.open()
    line.hears(whole(BINARY, bytes(FRAME_BYTES)), whole(TEXT, b"x" * CONTROL_BYTES))
    assert [len(said) for said in line.heard.said] == [FRAME_BYTES, CONTROL_BYTES]
    assert line.pipe.written == []


async def test_a_peer_that_breaks_a_rule_while_it_sends_is_read_to_its_end_so_that_it_can_read_why(line: Line) -> None:
    """Closing with bytes unread would reset the connection under the close that was just written."""
    await line.open()
    line.hears(client_frame(FINAL | BINARY, size=FRAME_BYTES + 1))
    assert line.pipe.ends == ["eof"]
    assert line.pipe.reading
    line.hears(bytes(1_000))
    assert line.clock.due() == [FAREWELL_SECONDS]
    line.socket.eof_received()
    assert line.pipe.ends == ["eof", "close"]
    line.lost()
    assert line.heard.ends == [(1009, "too-big")]
    assert line.clock.due() == []


async def test_one_that_sends_very_much_is_read_on_after_the_others_had_their_turn(line: Line) -> None:
    await line.open()
    line.hears(whole(BINARY, b"x" * 60_000) * 2)
    assert line.pipe.reading
    line.hears(whole(BINARY, b"x" * 60_000) * 3)
    assert len(line.heard.said) == 5
    assert not line.pipe.reading
    await asyncio.sleep(0)
    assert line.pipe.reading


async def test_one_that_goes_on_sending_very_much_after_our_close_is_read_on_late(line: Line) -> None:
    await line.open()
    line.socket.close(Close.SLOW_CONSUMER)
    line.hears(whole(BINARY, b"x" * 60_000) * 3)
    assert not line.pipe.reading
    timer = line.clock.timers[-1]
    assert timer.seconds == LATE_SECONDS
    timer.call()
    assert line.pipe.reading


async def test_one_that_sends_very_much_before_anybody_listens_is_not_read_on(line: Line) -> None:
    stream = client_frame(BINARY, b"x" * 200_000)
    line.hears(stream)
    assert not line.pipe.reading
    line.hears(whole(CONTINUATION), whole(TEXT, b"hello"))
    await asyncio.sleep(0)
    assert not line.pipe.reading
    await line.open()
    assert line.pipe.reading


# --- closing -----------------------------------------------------------------------------------------------------


async def test_our_close_waits_for_the_peers_answer_and_then_closes_the_connection(line: Line) -> None:
    await line.open()
    line.socket.close(Close.DRAINING)
    assert line.pipe.close_code() == 4200
    assert line.pipe.ends == []
    line.hears(whole(TEXT, b"said before it knew"), goodbye(4200))
    assert line.pipe.ended == "close"
    assert line.heard.ends == []
    line.lost()
    assert line.heard.said == []
    assert line.heard.ends == [(4200, "draining")]
    assert line.clock.due() == []


@pytest.mark.parametrize("body", [close_body(1000, ""), close_body(4321, "läuft"), b""])
async def test_a_peers_close_is_answered_by_its_echo(line: Line, body: bytes) -> None:
    await line.open()
    line.hears(whole(TEXT, b"bye"), whole(CLOSE, body), whole(TEXT, b"behind"))
    assert line.pipe.says() == [(CLOSE, body)]
    assert line.pipe.ended == "close"
    line.lost()
    assert line.heard.said == ["bye"]
    assert line.heard.ends == [websocket.read_close(body)]


async def test_when_both_close_at_once_each_says_so_once(line: Line) -> None:
    await line.open()
    line.socket.close(Close.REPLACED)
    line.hears(goodbye(1001))
    line.socket.close(Close.DRAINING)
    line.lost()
    assert line.pipe.close_code() == 4004
    assert line.heard.ends == [(4004, "replaced")]


async def test_a_close_comes_behind_everything_that_waits_and_nothing_comes_behind_it(line: Line) -> None:
    await line.open()
    line.pipe.reads = False
    line.socket.send_text(b"last words")
    line.socket.close(Close.DRAINING)
    assert line.socket.send_text(b"too late")
    assert line.socket.send_ready(b"too late")
    line.hears(whole(PING, b"?"))
    assert line.pipe.says() == [(TEXT, b"last words"), (CLOSE, close_body(4200, "draining"))]


async def test_a_peer_that_never_answers_our_close_is_cut_in_time(line: Line) -> None:
    await line.open()
    line.socket.close(Close.DRAINING)
    (timer,) = line.clock.timers
    assert timer.seconds == FAREWELL_SECONDS
    timer.call()
    assert line.pipe.ended == "abort"
    line.lost()
    assert line.heard.ends == [(4200, "draining")]


async def test_a_peer_that_said_goodbye_and_does_not_read_ours_is_cut_in_time(line: Line) -> None:
    await line.open()
    line.hears(goodbye())
    assert line.clock.due() == [FAREWELL_SECONDS]


async def test_a_peer_that_only_stops_sending_is_lost_at_once_and_cut_in_time(line: Line) -> None:
    await line.open()
    line.fills()
    line.socket.eof_received()
    assert line.heard.ends == [LOST]
    assert line.pipe.ended == "close"
    assert line.clock.due() == [FAREWELL_SECONDS]
    line.lost()
    assert line.heard.ends == [LOST]


async def test_a_connection_that_is_lost_in_the_middle_of_a_frame_is_over_once(line: Line) -> None:
    await line.open()
    line.hears(whole(TEXT, b"hello")[:-1])
    line.socket.connection_lost(ConnectionResetError())
    assert line.heard.said == []
    assert line.heard.ends == [LOST]
    assert list(line.keepalive) == []


ENDINGS: dict[str, Callable[[Line], Any]] = {
    "our close": lambda line: line.socket.close(Close.DRAINING),
    "its close": lambda line: line.hears(goodbye(1001)),
    "garbage": lambda line: line.hears(whole(3)),
    "its end": lambda line: line.socket.eof_received(),
    "no pong": lambda line: miss_a_ping(line),
    "a refusal": lambda line: line.socket.refuse(Invalid("no")),
}


def miss_a_ping(line: Line) -> None:
    """A ping, and no pong when it is due."""
    line.socket.ping(b"1234", websocket.frame(PING, b"1234"))
    line.socket.check_pong()


@pytest.mark.parametrize("second", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("first", ENDINGS.values(), ids=ENDINGS)
async def test_in_whatever_order_it_ends_it_is_told_once_and_one_close_is_written(
    line: Line, first: Callable[[Line], Any], second: Callable[[Line], Any]
) -> None:
    await line.open()
    first(line)
    if line.pipe.ended in ("", "eof"):  # else the transport reads no more
        second(line)
    line.lost()
    assert len(line.heard.ends) == 1
    assert [kind for kind, _ in line.pipe.says() if kind == CLOSE] == [CLOSE] * (line.heard.ends != [LOST])
    assert line.clock.due() == []


async def test_a_connection_that_was_lost_before_anybody_listened_is_told_as_over(line: Line) -> None:
    line.hears(whole(TEXT, b"hello"))
    line.lost()
    line.pipe.resume_reading = lambda: pytest.fail("uvloop raises here")  # type: ignore[method-assign]
    await line.open()
    assert line.heard.ends == [LOST]
    assert line.heard.said == []
    assert line.socket.send_ready(b"nobody is slow")
    assert line.pipe.written == []


async def test_a_goodbye_that_came_before_anybody_listened_is_heard_in_its_turn(line: Line) -> None:
    line.hears(whole(TEXT, b"hello"), goodbye(1001))
    assert line.pipe.written == []
    await line.open()
    assert line.heard.said == ["hello"]
    assert line.heard.ends == [(1001, "")]


async def test_a_peer_that_is_turned_away_before_anybody_listened_still_gets_its_answer_read(line: Line) -> None:
    """Its hello has stopped the reading; its answer to our close is behind it."""
    line.hears(whole(TEXT, b"hello"))
    line.socket.close(Close.BAD_TOKEN)
    assert line.pipe.reading
    line.hears(goodbye(4002))
    assert line.pipe.ended == "close"


async def test_a_peer_that_is_turned_away_after_its_goodbye_is_hung_up_on(line: Line) -> None:
    line.hears(whole(TEXT, b"hello"), goodbye())
    line.socket.close(Close.BAD_TOKEN)
    assert line.pipe.ended == "close"


async def test_a_refused_message_drops_what_came_with_it_but_not_the_peers_close(line: Line) -> None:
    def act(said: str | bytes) -> None:
        raise Invalid("no such message")

    await line.open(act)
    line.hears(whole(TEXT, b"bad"), whole(TEXT, b"good"), goodbye())
    assert line.heard.said == ["bad"]
    assert line.pipe.close_code() == 4005
    assert line.pipe.ended == "close"


async def test_a_mistake_of_ours_closes_as_internal_and_says_no_more(line: Line) -> None:
    def act(said: str | bytes) -> None:
        raise KeyError(said)

    await line.open(act)
    line.hears(whole(TEXT, b"odd"), whole(TEXT, b"even"))
    assert line.heard.said == ["odd"]
    assert line.pipe.says() == [(CLOSE, close_body(1011, "internal"))]


async def test_frames_that_come_with_a_goodbye_are_flushed_before_the_end_is_told(line: Line) -> None:
    await line.open()
    order: list[str] = []
    line.heard.flush = lambda: order.append("flush")  # type: ignore[method-assign]
    line.heard.closed = lambda code, reason: order.append("closed")  # type: ignore[method-assign]
    line.hears(whole(BINARY, b"last output"), goodbye())
    assert order == ["flush", "closed"]


# --- tasks -------------------------------------------------------------------------------------------------------


async def test_what_runs_for_a_connection_is_cancelled_with_it_even_before_it_began(
    line: Line, errands: Errands
) -> None:
    """A task that never began must not complain, either, that nobody awaited it."""
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("began")

    await line.open()
    line.socket.spawn(work())
    await asyncio.sleep(0)
    line.socket.spawn(work())
    line.lost()
    await errands.finished()
    assert ends == ["began"]
    line.socket.spawn(work())
    await errands.finished()


@pytest.mark.parametrize(("error", "code"), [(Invalid("no"), 4005), (ValueError("ours"), 1011)])
async def test_a_task_that_fails_closes_its_connection(
    line: Line, errands: Errands, error: Exception, code: int
) -> None:
    async def work() -> None:
        raise error

    await line.open()
    line.socket.spawn(work())
    await errands.finished()
    assert line.pipe.close_code() == code


# --- backpressure ------------------------------------------------------------------------------------------------


async def test_an_outbox_takes_frames_to_its_last_byte_and_not_one_more(line: Line) -> None:
    await line.open()
    line.fills(spare=10)
    assert line.socket.send_ready(bytes(10))
    assert not line.socket.send_ready(b"x")
    assert not line.socket.send_binary(b"")
    assert line.pipe.waiting == OUTBOX_BYTES
    line.pipe.taken(1)
    assert line.socket.send_ready(b"x")


async def test_control_messages_have_a_margin_beyond_which_the_peer_is_closed_as_slow(line: Line) -> None:
    await line.open()
    line.fills()
    while (room := OUTBOX_BYTES + CONTROL_MARGIN_BYTES - line.pipe.waiting) > CONTROL_BYTES:
        assert line.socket.send_text(bytes(CONTROL_BYTES))
    assert line.socket.send_text(bytes(room))
    assert not line.socket.send_text(b"x")
    assert line.pipe.close_code() == 4102
    assert line.clock.due() == [FAREWELL_SECONDS]


async def test_who_waits_for_a_drained_outbox_goes_on_when_little_waits(line: Line) -> None:
    await line.open()
    line.fills()
    waiting = [asyncio.ensure_future(line.socket.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    line.pipe.taken(OUTBOX_BYTES - line.pipe.low - 1)
    await asyncio.sleep(0)
    assert not waiting[1].done()
    line.pipe.taken(1)
    await waiting[1]
    await line.socket.drained()


async def test_who_waits_for_an_outbox_that_never_drains_goes_on_when_it_closes(line: Line) -> None:
    await line.open()
    line.fills()
    waiting = asyncio.ensure_future(line.socket.drained())
    await asyncio.sleep(0)
    line.socket.close(Close.DRAINING)
    await waiting


async def test_of_pings_that_come_while_the_outbox_is_full_the_latest_is_answered(line: Line) -> None:
    await line.open()
    line.fills()
    line.hears(*[whole(PING, b"%d" % number) for number in range(100)])
    assert line.pipe.waiting == OUTBOX_BYTES
    line.pipe.taken(OUTBOX_BYTES)
    assert line.pipe.says() == [(PONG, b"99")]


# --- pings -------------------------------------------------------------------------------------------------------


def tick(line: Line, times: int = 1) -> None:
    """So many seconds pass."""
    for _ in range(times):
        line.keepalive.tick()


def pings(line: Line) -> list[bytes]:
    """The payloads of the pings that were sent."""
    return [body for kind, body in line.pipe.says() if kind == PING]


def pinged(line: Line) -> bytes:
    """Seconds pass until the peer is pinged, a round at most; the payload."""
    before = len(pings(line))
    for _ in range(ROUND_TICKS):
        tick(line)
        if len(pings(line)) > before:
            return pings(line)[-1]
    raise AssertionError("nobody pings")


async def test_a_peer_is_pinged_every_round_and_only_the_right_pong_answers(line: Line) -> None:
    await line.open()
    first = pinged(line)
    line.hears(whole(PONG, first))
    assert pinged(line) != first
    line.hears(whole(PONG, first), whole(PONG, b""), whole(PONG, b"guess"))
    tick(line, PONG_TICKS - 1)
    assert line.socket.closing is None
    tick(line)
    assert line.pipe.close_code() == 4201
    assert line.heard.ends == [(4201, "no-pong")]
    assert line.clock.due() == [LINGER_SECONDS]
    line.lost()
    assert len(line.heard.ends) == 1


async def test_a_slow_peer_is_not_taken_for_dead_while_it_reads_what_is_before_its_ping(line: Line) -> None:
    await line.open()
    line.fills()
    payload = pinged(line)
    for _ in range(3):
        line.pipe.taken(1_000)
        tick(line, ROUND_TICKS)
        assert line.socket.closing is None
    assert pings(line) == [payload]
    line.pipe.taken(line.pipe.waiting)
    line.hears(whole(PONG, payload))
    tick(line, ROUND_TICKS)
    assert line.socket.closing is None


@pytest.mark.parametrize("full", [True, False])
async def test_a_peer_that_neither_reads_nor_answers_is_taken_for_dead(line: Line, full: bool) -> None:
    await line.open()
    if full:
        line.fills()
    pinged(line)
    tick(line, PONG_TICKS)
    assert line.heard.ends == [(4201, "no-pong")]
