"""Keeps the newest output of one session as ready frames: numbered from 1, bounded in bytes, oldest out first."""

from __future__ import annotations

from collections import deque
from itertools import islice

from relay.rules import frames, limits
from relay.rules.frames import Header, Kind

_ATTACHMENT = slice(2, 4)  # where the header has its attachment number


class Ring:
    """Ready frames from `first` to `head`. Positions are counted in bytes since the session began, so that the distance
    between two frames is one subtraction, also when the older one is gone already."""

    def __init__(self, session: bytes, epoch: int, capacity_bytes: int = limits.RING_BYTES, first: int = 1) -> None:
        assert capacity_bytes >= limits.CHUNK_BYTES + frames.HEADER_BYTES, "a ring holds at least one frame"
        self.session = session
        self.epoch = epoch
        self.first = first  # the oldest frame that is kept, head + 1 when there is none
        self.head = first - 1  # the newest frame, 0 when there was none yet
        self.end = 0  # position behind the newest frame
        self.base = 0  # position before the oldest frame that is kept
        self._capacity = capacity_bytes
        self._frames: deque[bytes] = deque()
        self._ends: deque[int] = deque()

    def append(self, kind: Kind, payload: bytes, flags: int = 0) -> bytes:
        """Number one piece of output; the frame for everybody. What no longer fits is dropped from the old end."""
        self.head += 1
        frame = frames.pack(
            Header(kind, flags, frames.EVERYBODY, self.epoch, self.session, self.head),
            payload,
        )
        self.end += len(frame)
        self._frames.append(frame)
        self._ends.append(self.end)
        while self.end - self.base > self._capacity:
            self._frames.popleft()
            self.base = self._ends.popleft()
            self.first += 1
        return frame

    def frame(self, sequence: int) -> bytes:
        """One kept frame."""
        return self._frames[self._index(sequence)]

    def since(self, sequence: int) -> list[bytes]:
        """The kept frames behind `sequence`, oldest first."""
        return list(islice(self._frames, max(0, sequence + 1 - self.first), None))

    def tail(self, limit_bytes: int) -> int:
        """The oldest kept frame from which all newer ones together fit into so many bytes; head + 1 if none does."""
        first, size = self.head + 1, 0
        for frame in reversed(self._frames):
            size += len(frame)
            if size > limit_bytes:
                break
            first -= 1
        return first

    def position(self, sequence: int) -> int | None:
        """Where frame `sequence` ended, or None if that is not known any more (or not yet)."""
        if sequence == self.first - 1:
            return self.base
        if not self.first <= sequence <= self.head:
            return None
        return self._ends[self._index(sequence)]

    def _index(self, sequence: int) -> int:
        assert self.first <= sequence <= self.head, f"frame {sequence} is not kept"
        return sequence - self.first


def addressed(frame: bytes, attachment: int) -> bytes:
    """A frame for everybody as a frame for one attachment."""
    return frame[: _ATTACHMENT.start] + attachment.to_bytes(2, "big") + frame[_ATTACHMENT.stop :]
