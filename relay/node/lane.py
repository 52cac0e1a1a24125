"""Keeps what a node knows of one lane: what waits for and is under way to another node, and what came back from it."""

from __future__ import annotations

from relay.rules.limits import LANE_FLOOR_BYTES
from relay.rules.windows import Flight


class Outgoing:
    """What waits to go to one node in this tick, what is under way to it, and the number of the next batch."""

    __slots__ = ("cut", "flight", "number", "pieces", "refused", "sent", "size", "used")

    def __init__(self, now: float) -> None:
        self.number = 1
        self.sent = now  # monotonic seconds of the last batch
        self.used = now  # the same of the last that carried a frame or a hop
        self.refused = False  # the bus did not take the last batch
        self.pieces: list[bytes] = []  # of entries, joined when the batch leaves
        self.size = 0
        self.flight = Flight()
        self.cut: set[tuple[bytes, bytes]] = set()  # (machine, session) that the receiver is to be told of


class Incoming:
    """What is known of one sender: the number expected next, when it was last heard, what it has not been told."""

    __slots__ = ("expected", "given", "heard", "owed")

    def __init__(self, heard: float) -> None:
        self.expected: int | None = None
        self.heard = heard
        self.owed = 0  # bytes taken since this node last said what it took
        self.given = LANE_FLOOR_BYTES  # the window that this node last told it

    @property
    def taken(self) -> int:
        """The number of the latest batch that was taken from it; 0 if none was."""
        return self.expected - 1 if self.expected is not None else 0
