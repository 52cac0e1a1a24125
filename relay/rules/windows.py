"""Decides how much one node may have under way to another, and which session pays when a node does not keep up."""

from __future__ import annotations

from collections import deque

from relay.rules.limits import LANE_CONTROL_BYTES, LANE_FLOOR_BYTES, LANE_WINDOW_BYTES

LARGEST_TIMES = 3  # a session may have so many times under way what it leaves to the others of its lane
ACKNOWLEDGE_PART = 4  # a receiver speaks up when this part of a window is taken; it also does with every batch it sends

# What a session may have under way is measured against what is left of the window: own <= 3 * (window - all). One that
# floods meets this at three quarters of the window, and the last quarter is there for whoever is quiet. Cutting the
# largest session when the window is full would not do: what it sent is on its way and frees nothing, so that the next
# small frame of anybody would have to pay. With ten sessions at once each gets a tenth, less a thirtieth of that.


def window(senders: int) -> int:
    """What a node that hears so many others lets each of them have under way: an equal part of `LANE_WINDOW_BYTES`.

    With more than 12 senders the floor counts, and all together may pass 6 MiB. Redis cuts a subscriber that has 8 MiB
    waiting for 60 s, or 32 MiB at once: that takes 17 senders that fill their windows towards a node that has stood
    still for a minute, four times as long as its lease lasts, or 64 of them within a moment. Who runs that many nodes
    raises `client-output-buffer-limit pubsub` to 0.5 MiB for each.
    """
    return max(LANE_FLOOR_BYTES, LANE_WINDOW_BYTES // max(senders, 1))


def worth_telling(window: int) -> int:
    """How many bytes a receiver takes before it says so of its own accord."""
    return window // ACKNOWLEDGE_PART


# What a batch that left holds: its number, bytes by session, and bytes of control messages.
Sealed = tuple[int, dict[bytes, int], int]


class Flight:
    """What is under way on one lane: admitted, in batches that left, and not known to be taken by the other node."""

    __slots__ = ("_control", "_flows", "_last", "_open", "_open_control", "_sealed", "_total", "window")

    def __init__(self) -> None:
        self.window = LANE_FLOOR_BYTES  # until the other node has said what it gives
        self._total = 0
        self._control = 0
        self._flows: dict[bytes, int] = {}  # by session, never 0
        self._sealed: deque[Sealed] = deque()
        self._last = 0  # number of the latest batch that left
        self._open: dict[bytes, int] = {}  # of the batch that is being filled
        self._open_control = 0

    @property
    def under_way(self) -> int:
        """How many bytes are neither acknowledged nor given up, control messages included."""
        return self._total + self._control

    def admit(self, flow: bytes, size: int) -> bool:
        """Count `size` more bytes of a session; or refuse them, when it has too large a part of the window."""
        own = self._flows.get(flow, 0) + size
        if own > LARGEST_TIMES * (self.window - self._total - size):
            return False
        self._flows[flow] = own
        self._total += size
        self._open[flow] = self._open.get(flow, 0) + size
        return True

    def admit_control(self, size: int) -> bool:
        """Count a control message, which no window refuses; only a node that has taken none of `LANE_CONTROL_BYTES`
        gets no more."""
        if self._control + size > LANE_CONTROL_BYTES:
            return False
        self._control += size
        self._open_control += size
        return True

    def left(self, number: int) -> bool:
        """The batch leaves under this number, and counts for nothing if it is empty; whether it carries control."""
        self._last = number
        flows, control = self._open, self._open_control
        if not flows and not control:
            return False
        self._sealed.append((number, flows, control))
        self._open, self._open_control = {}, 0
        return control > 0

    def lost(self, number: int) -> None:
        """The batch that just left under this number was not taken by the bus."""
        if self._sealed and self._sealed[-1][0] == number:
            self._release(self._sealed.pop())

    def acknowledged(self, number: int, window: int) -> None:
        """The other node has taken every batch up to this one that reached it, and gives this window."""
        self.window = window
        if number <= self._last:  # else it means a lane that was forgotten here since
            sealed = self._sealed
            while sealed and sealed[0][0] <= number:
                self._release(sealed.popleft())

    def _release(self, sealed: Sealed) -> None:
        _number, flows, control = sealed
        self._control -= control
        for flow, size in flows.items():
            self._total -= size
            rest = self._flows[flow] - size
            if rest:
                self._flows[flow] = rest
            else:
                del self._flows[flow]
