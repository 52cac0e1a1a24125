"""Decides whether a session's program may go on writing, and when one that nobody reads must end."""

from __future__ import annotations

from typing import Literal

from relay.rules import limits, timing
from relay.rules.frames import HEADER_BYTES

# Nobody came to a command for as long as an input stream is remembered: whoever started it is not going to go on.
UNATTENDED_SECONDS = timing.INPUT_KEPT_SECONDS
# What stays free in the ring of a lossless session: two streams read at once, and the frames of resize and exit.
_RESERVE_BYTES = 2 * (limits.CHUNK_BYTES + HEADER_BYTES) + limits.KIB

GivenUp = Literal["stalled", "unattended"]


class Flow:
    """Follows how far the driver is behind. A terminal waits for a driver that is there (or kept), and for nobody else;
    for one whose node cannot be reached only while nobody else is attached. A lossless session never overwrites what
    its driver has not seen, and ends if that takes too long. `began` and every `now` are monotonic seconds."""

    def __init__(self, *, lossless: bool, began: float) -> None:
        self.lossless = lossless
        self._began = began
        self._seen_at = 0  # the driver's position in bytes
        self._driven = False
        self._away = False  # whoever drives is kept, but cannot be reached
        self._attached_once = False
        self._stalled_since: float | None = None  # monotonic seconds of the last progress while it is stalled

    def attached(self, now: float) -> None:
        """Somebody is there to read: from now on a stall may end the session."""
        self._attached_once = True
        self._progress(now)

    def driven(self, position: int, now: float) -> None:
        """Somebody has the keyboard and has seen the output up to here."""
        self._driven, self._away = True, False
        self._seen_at = position
        self._progress(now)

    def away(self) -> None:
        """Whoever has the keyboard cannot be reached, and may come back for it."""
        self._away = True

    def free(self) -> None:
        """Nobody has the keyboard any more."""
        self._driven = False

    def may_read(self, end: int, now: float, *, others: bool = False) -> bool:
        """Whether the program's output may be read on, when the ring ends at this position; `others` says that somebody
        is attached beside a driver who is away."""
        behind = end - self._seen_at
        if self.lossless:
            may = behind <= limits.RING_BYTES - _RESERVE_BYTES
        else:
            waits = self._driven and not (self._away and others)
            may = not waits or behind <= limits.DRIVER_WINDOW_BYTES
        if may:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        return may

    def given_up(self, now: float) -> GivenUp | None:
        """Why a lossless session must end, if it must: nobody ever attached to it, or whoever did reads no more."""
        if not self.lossless:
            return None
        if not self._attached_once:
            return "unattended" if now - self._began > UNATTENDED_SECONDS else None
        stalled = self._stalled_since is not None and now - self._stalled_since > timing.LOSSLESS_STALL_SECONDS
        return "stalled" if stalled else None

    def _progress(self, now: float) -> None:
        if self._stalled_since is not None:
            self._stalled_since = now
