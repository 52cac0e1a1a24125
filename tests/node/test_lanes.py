"""Shows that a lane says what it lost, and that one bad entry costs nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from relay.errors import Unavailable
from relay.node import hops
from relay.node.lanes import LANE_KEPT_SECONDS, Lanes
from relay.node.meters import Meters
from relay.rules import ids, lanes
from relay.rules.lanes import EntryKind
from relay.rules.limits import BATCH_BYTES, LANE_FLOOR_BYTES

HERE, THERE = str(uuid4()), str(uuid4())
MACHINE = uuid4().bytes
SESSION = uuid4().bytes
GOOD = lanes.output_head(MACHINE, 1, SESSION, 0, 5) + b"frame"


class Ear:
    """Whoever takes what arrives."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.broken: list[str] = []
        self.cuts: list[bytes] = []

    def output_arrived(
        self, sender: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """Note the frames."""
        self.heard.append(ready)

    def input_arrived(self, sender: str, machine: bytes, generation: int, frame: bytes) -> None:
        """Nobody types here."""

    def hop_arrived(self, sender: str, hop: hops.AnyHop) -> None:
        """A mistake of ours."""
        raise TypeError("nobody expected this hop")

    def lane_broken(self, sender: str, *, silent: bool) -> None:
        """Note who is to be asked again."""
        self.broken.append(sender)

    def cut(self, boot: str, machine: bytes, session: bytes) -> None:
        """Note whose frames are not sent."""
        self.cuts.append(session)


class Here:
    """One node's lanes, what they published, and who listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.published: list[bytes] = []
        self.controls: list[bool] = []
        self.refusing = False
        self.ear = Ear()
        self.lanes = Lanes(HERE, self._publish, loop, Meters(CollectorRegistry()))
        self.lanes.receiver = self.ear

    def _publish(self, _boot: str, data: bytes, *, control: bool) -> None:
        if self.refusing:
            raise Unavailable("the bus is away")
        self.published.append(data)
        self.controls.append(control)

    def hears(self, number: int, *entries: bytes) -> None:
        """A batch of the other node."""
        self.lanes.received(lanes.batch(ids.raw(THERE), number, 0, LANE_FLOOR_BYTES, entries))


@pytest.fixture
def here() -> Iterator[Here]:
    """A node that has heard nobody yet."""
    loop = asyncio.new_event_loop()
    yield Here(loop)
    loop.close()


@pytest.mark.parametrize(
    "bad",
    [
        lanes.entry(EntryKind.HOP, b'{"type": "of-a-newer-version"}'),
        lanes.entry(EntryKind.HOP, hops.encode(hops.GapHop())),
        lanes.entry(EntryKind.OUTPUT, b"short"),
        b"\x63" + lanes.entry(EntryKind.HOP, b"{}")[1:],
    ],
    ids=["unknown", "mishandled", "malformed", "strange"],
)
def test_an_entry_that_cannot_be_taken_costs_only_itself(here: Here, bad: bytes) -> None:
    """The frames around it are delivered, and the lane is whole."""
    here.hears(1, GOOD, bad, GOOD)
    assert here.ear.heard == [b"frame", b"frame"]
    assert here.ear.broken == []


def test_a_batch_that_ends_too_early_is_a_gap(here: Here) -> None:
    """Nobody knows what stood there, so the attachments of that lane begin again."""
    here.hears(1, GOOD, GOOD[:-1])
    assert here.ear.heard == [b"frame"]
    assert here.ear.broken == [THERE]


def test_a_lane_that_nobody_uses_is_forgotten_and_a_used_one_is_not(here: Here) -> None:
    """Every deploy leaves boot ids that nobody will ever speak to again."""
    gone = str(uuid4())
    here.lanes.keep_alive({gone}, set())
    here.lanes.forget_idle(here.lanes._outgoing[gone].sent + LANE_KEPT_SECONDS + 1)
    assert not here.lanes._outgoing
    here.hears(1)
    here.lanes.forget_idle(here.lanes._incoming[THERE].heard + 1)
    assert set(here.lanes._incoming) == {THERE}


def test_a_batch_that_the_bus_refuses_leaves_a_hole_in_the_numbers(here: Here) -> None:
    """It is how the other node learns that something is missing."""
    here.lanes.keep_alive({THERE}, set())
    here.refusing = True
    here.lanes.keep_alive({THERE}, set())
    here.refusing = False
    here.lanes.keep_alive({THERE}, set())
    assert [lanes.open_batch(data).number for data in here.published] == [1, 3]


def test_the_bus_is_told_which_batches_are_more_than_frames(here: Here) -> None:
    """For them it keeps room when frames fill it."""
    here.lanes.send_output(THERE, MACHINE, 1, SESSION, 0, b"frame")
    here.lanes._flush()
    here.lanes.send_output(THERE, MACHINE, 1, SESSION, 0, b"frame")
    here.lanes.send_hop(THERE, hops.GapHop())
    here.lanes._flush()
    here.lanes.keep_alive({THERE}, set())
    assert here.controls == [False, True, True]


def test_an_entry_larger_than_a_batch_is_a_batch_of_its_own(here: Here) -> None:
    """Joined frames may be a little more than a batch; the entries around it keep their order."""
    for ready in (b"before", bytes(BATCH_BYTES), b"after"):
        here.lanes.send_output(THERE, MACHINE, 1, SESSION, 0, ready)
    here.lanes._flush()
    other = Here(here.loop)
    for data in here.published:
        other.lanes.received(data)
    assert len(here.published) == 3
    assert other.ear.heard == [b"before", bytes(BATCH_BYTES), b"after"]
