"""Decides for each output frame whether it is the next one, was seen before, or shows that something is missing."""

from __future__ import annotations

from enum import Enum, auto

from relay.rules import limits
from relay.rules.messages import After


class Verdict(Enum):
    """What to do with one frame."""

    DELIVER = auto()  # it is the next one
    DROP = auto()  # it was delivered before, or belongs to another life of the session
    RESUME = auto()  # one before it is missing: attach again with what there is


class Start(Enum):
    """How what follows an attach joins on to what was there."""

    FRESH = auto()  # the first attach
    CONTINUED = auto()  # exactly the missing frames follow
    GAP = auto()  # something in between is gone


class OutputTrack:
    """The client's half of "nothing lost, nothing twice" for one session."""

    def __init__(self, after: After | None = None) -> None:
        self._epoch = after.epoch if after else None
        self._last = after.sequence if after else 0

    @property
    def last(self) -> int:
        """The number of the last frame that was delivered."""
        return self._last

    def after(self) -> After | None:
        """What to say in the next attach; None before anything is known, which asks for everything there is."""
        return None if self._epoch is None else After(epoch=self._epoch, sequence=self._last)

    def begin(self, epoch: int, first: int, recovered: bool) -> Start:
        """An attach was answered: frames from `first` on follow."""
        known = self._epoch
        joins = recovered and epoch == known and first <= self._last + 1
        self._epoch = epoch
        if joins:
            return Start.CONTINUED
        self._last = max(0, first - 1)
        return Start.FRESH if known is None else Start.GAP

    def take(self, epoch: int, sequence: int) -> Verdict:
        """Judge one frame; `DELIVER` counts it as delivered."""
        if epoch != self._epoch or sequence <= self._last:
            return Verdict.DROP
        if sequence > self._last + 1:
            return Verdict.RESUME
        self._last = sequence
        return Verdict.DELIVER

    def misses(self, head: int) -> bool:
        """Whether a replay that ended at `head` left something out."""
        return head > self._last


class SeenMeter:
    """Says when to report what has been handed to the screen: after so many bytes, or when the caller's timer ends."""

    def __init__(self, every_bytes: int = limits.SEEN_EVERY_BYTES) -> None:
        self._every = every_bytes
        self._bytes = 0
        self._seen = 0
        self._reported = 0

    def handed(self, sequence: int, size: int) -> bool:
        """One frame is on the screen; true when a report is due at once."""
        self._seen = max(self._seen, sequence)
        self._bytes += size
        return self._bytes >= self._every

    def report(self) -> int | None:
        """The number to report now, or None if it was reported already."""
        self._bytes = 0
        if self._seen <= self._reported:
            return None
        self._reported = self._seen
        return self._seen

    def restart(self, first: int, *, continued: bool) -> bool:
        """A new attachment begins with frame `first`, and its agent takes everything before that as seen. True when it
        should be told of more: it sends again what was on the screen already."""
        self._bytes = 0
        self._reported = first - 1
        if not continued:
            self._seen = self._reported
        return self._seen > self._reported
