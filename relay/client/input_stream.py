"""Numbers what one client types into one session, keeps it until it is applied, and says what to send again."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from relay.rules import limits
from relay.rules.frames import HEADER_BYTES, Kind

INPUT_PIECE_BYTES = 8 * limits.KIB  # a large paste is cut, so that acknowledgements flow while it is on its way


class Entry(NamedTuple):
    """One numbered input; sent as a frame, and again after a re-attach if nobody acknowledged it."""

    sequence: int
    kind: Kind
    payload: bytes

    @property
    def size(self) -> int:
        """What it takes of the window; the header counts too, so that empty entries are bounded as well."""
        return HEADER_BYTES + len(self.payload)


class Resumption(NamedTuple):
    """What a re-attach means for input: how many entries are to be sent again, and bytes whose fate nobody knows."""

    again: int
    lost_bytes: int


class InputStream:
    """The client's half of "input, once": what is not acknowledged is kept; the numbers let the agent apply it once."""

    def __init__(self, window_bytes: int = limits.INPUT_WINDOW_BYTES) -> None:
        self._window = window_bytes
        self._waiting: deque[Entry] = deque()
        self._size = 0
        self._next = 1

    @property
    def room(self) -> int:
        """Payload bytes that fit into the window now."""
        return max(0, self._window - self._size - HEADER_BYTES)

    def waiting(self) -> list[Entry]:
        """What is not acknowledged, in order."""
        return list(self._waiting)

    def add(self, kind: Kind, payload: bytes = b"") -> Entry:
        """Number one input; the caller has seen to it that there is room."""
        assert len(payload) <= self.room, "input beyond the window"
        entry = Entry(self._next, kind, payload)
        self._next += 1
        self._waiting.append(entry)
        self._size += entry.size
        return entry

    def acknowledge(self, sequence: int) -> None:
        """Everything up to `sequence` is applied; numbers that were never sent are ignored."""
        while self._waiting and self._waiting[0].sequence <= sequence:
            self._size -= self._waiting.popleft().size

    def refuse(self, sequence: int) -> int:
        """Nothing from `sequence` on is applied: drop it, number on from there, and say how many entries that were."""
        self.acknowledge(sequence - 1)
        dropped = len(self._waiting)
        self._clear()
        self._next = min(self._next, sequence)
        return dropped

    def resume(self, applied: int) -> Resumption:
        """What to do when the agent says that it applied everything up to `applied`. When its memory of this stream is
        not ours (it restarted, or forgot), sending again could apply something twice: that is lost instead."""
        first = self._waiting[0].sequence if self._waiting else self._next
        if not first - 1 <= applied < self._next:
            return Resumption(0, self.restart(applied))
        self.acknowledge(applied)
        return Resumption(len(self._waiting), 0)

    def restart(self, applied: int = 0) -> int:
        """Drop what waits and number on behind `applied`; says how many payload bytes were dropped."""
        dropped = sum(len(entry.payload) for entry in self._waiting)
        self._clear()
        self._next = applied + 1
        return dropped

    def _clear(self) -> None:
        self._waiting.clear()
        self._size = 0


def pieces(data: bytes, size: int = INPUT_PIECE_BYTES) -> list[bytes]:
    """A paste, cut into parts of at most `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]
