"""Tests how output reaches attachments: in one order, each frame once, with bounded bytes under way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.agent.audience import Audience, Viewer
from relay.agent.ring import Ring
from relay.rules import frames, limits
from relay.rules.agent_messages import Behind
from relay.rules.frames import Kind
from relay.rules.messages import Attached, Attaching
from tests.agent.scene import EPOCH, RAW, SESSION, Recorder, Screen, ask, header

CHUNK = b"x" * (8 * limits.KIB - frames.HEADER_BYTES)  # 8 KiB with its header


class Stage:
    """A ring with its audience, and what they say."""

    def __init__(self) -> None:
        self.ring = Ring(RAW, EPOCH)
        self.outlet = Recorder()
        self.detached: list[Viewer] = []
        self.audience = Audience(SESSION, self.ring, self.outlet, self.detached.append)

    def write(self, data: bytes = CHUNK, times: int = 1) -> None:
        for _ in range(times):
            self.audience.publish(self.ring.append(Kind.OUTPUT, data))

    def join(self, number: int = 1, first: int | None = None) -> Viewer:
        viewer = self.audience.join(ask(number, f"client-{number}"), self.ring.first if first is None else first)
        self.audience.replay(viewer)
        return viewer


async def test_without_attachments_nothing_is_sent() -> None:
    stage = Stage()
    stage.write(times=10)
    assert stage.outlet.all == []


async def test_a_replay_ends_with_attached_and_then_common_frames_apply() -> None:
    stage = Stage()
    stage.write(b"one")
    stage.join(7)
    stage.write(b"two")
    first, attached, second = stage.outlet.all
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert (header(first).attachment, header(first).sequence) == (7, 1)
    assert attached == Attached(session=SESSION, attachment=7, head=1)
    assert (header(second).attachment, header(second).sequence) == (frames.EVERYBODY, 2)


async def test_a_full_ring_is_replayed_with_no_more_under_way_than_the_window() -> None:
    stage = Stage()
    stage.write(times=200)
    viewer = stage.join()
    assert not viewer.following
    sent = 0
    while not viewer.following:
        new = stage.outlet.frames[sent:]
        assert new, "a replay whose window is open goes on"
        assert sum(map(len, new)) <= limits.REPLAY_WINDOW_BYTES
        sent += len(new)
        stage.audience.saw(1, header(new[-1]).sequence)
    assert [header(frame).sequence for frame in stage.outlet.frames] == list(range(stage.ring.first, 201))


async def test_output_during_a_replay_is_replayed_too_and_not_sent_twice() -> None:
    stage = Stage()
    stage.write(times=20)
    screen = Screen()
    stage.join()
    stage.write(times=5)
    heard = 0
    while heard < len(stage.outlet.all):
        if screen.take(stage.outlet.all[heard]):
            stage.audience.saw(1, screen.last)
        heard += 1
    stage.write()
    assert screen.take(stage.outlet.all[-1])
    assert screen.last == 26


async def test_a_watcher_too_far_behind_is_detached_and_the_others_are_not() -> None:
    stage = Stage()
    stage.join(1)
    stage.join(2)
    for _ in range(limits.WATCHER_WINDOW_BYTES // len(CHUNK) + 8):
        stage.write()
        stage.audience.saw(2, stage.ring.head)
    assert [viewer.number for viewer in stage.detached] == [1]
    assert stage.outlet.told(Behind) == [Behind(session=SESSION, attachment=1)]
    assert stage.audience.find(2) is not None


async def test_the_exempt_one_is_not_detached_however_far_behind() -> None:
    stage = Stage()
    stage.join(1)
    stage.audience.exempt = 1
    stage.write(times=300)
    assert stage.detached == []


async def test_a_replay_that_the_ring_overtakes_ends_as_behind() -> None:
    stage = Stage()
    stage.write(times=200)
    stage.join()
    stage.write(times=40)
    assert [viewer.number for viewer in stage.detached] == [1]
    assert len(stage.audience) == 0


async def test_replays_wait_for_a_full_connection_and_go_on_afterwards() -> None:
    stage = Stage()
    stage.write(times=3)
    stage.outlet.pressed = True
    viewer = stage.join()
    assert stage.outlet.all == []
    stage.outlet.pressed = False
    stage.audience.replay_on()
    assert viewer.following
    assert len(stage.outlet.frames) == 3


async def test_reports_beyond_what_was_sent_or_before_what_was_reported_count_for_nothing() -> None:
    stage = Stage()
    stage.write(times=2)
    viewer = stage.join()
    assert stage.audience.saw(1, 99)
    assert viewer.seen == 2
    assert not stage.audience.saw(1, 1)
    assert not stage.audience.saw(1, 2)
    assert not stage.audience.saw(5, 1)


async def test_the_newest_attachment_of_a_client_is_the_one_that_came_last() -> None:
    stage = Stage()
    for number in (9, 3):
        stage.audience.join(ask(number, "client-same"), 1)
    newest = stage.audience.newest_of("client-same")
    assert newest is not None
    assert newest.number == 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 30_000)),
        st.tuples(st.just("hear"), st.integers(1, 40)),
        st.tuples(st.just("return"), st.just(0)),
    ),
    max_size=60,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(steps=STEPS)
async def test_whatever_is_written_heard_and_dropped_a_screen_gets_the_exact_rest(steps: list[tuple[str, int]]) -> None:
    stage, screen = Stage(), Screen()
    written = b""
    heard = 0
    stage.join()
    screen.take(_attaching(1, True))

    def hear(most: int) -> None:
        nonlocal heard
        for item in stage.outlet.all[heard : heard + most]:
            heard += 1
            if screen.take(item):
                stage.audience.saw(1, screen.last)

    for step, size in steps:
        if step == "write":
            data = bytes([stage.ring.head % 251]) * size
            written += data
            stage.write(data)
        elif step == "hear":
            hear(size)
        elif screen.last + 1 >= stage.ring.first:
            stage.audience.leave(1)
            heard = len(stage.outlet.all)  # what was under way is lost with the socket
            screen.take(_attaching(screen.last + 1, True))
            stage.join(first=screen.last + 1)
    if not stage.detached:
        while heard < len(stage.outlet.all):
            hear(1)
        assert screen.text == written


def _attaching(first: int, recovered: bool) -> Attaching:
    return Attaching(
        session=SESSION, attachment=1, epoch=EPOCH, first=first, recovered=recovered, driver=False, columns=80, rows=24
    )
