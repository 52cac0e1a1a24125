"""Follows the numbers of one stream of frames: which came, which came twice, which came late, and which never did."""

from __future__ import annotations

from dataclasses import dataclass

HOLES_KEPT = 10_000  # missing numbers of one stream that may still come late; beyond it they are lost for good


@dataclass(slots=True)
class Wrong:
    """What went wrong with all streams that share this."""

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    changed: int = 0  # arrived, but not as it was sent

    @property
    def total(self) -> int:
        """How many frames."""
        return self.lost + self.duplicated + self.reordered + self.changed


class Stream:
    """One direction of one attachment. What is missing counts as lost until it comes after all, which is reordered."""

    __slots__ = ("_holes", "_wrong", "last")

    def __init__(self, wrong: Wrong, last: int = 0) -> None:
        self.last = last
        self._holes: set[int] = set()
        self._wrong = wrong

    def take(self, number: int) -> bool:
        """One frame arrived; whether it was the next one."""
        if number == self.last + 1:
            self.last = number
            return True
        if number > self.last:
            self.missing(number - 1)
            self.last = number
        elif number in self._holes:
            self._holes.discard(number)
            self._wrong.lost -= 1
            self._wrong.reordered += 1
        else:
            self._wrong.duplicated += 1
        return False

    def missing(self, upto: int) -> None:
        """Everything between the last one and this number should have come, and did not."""
        count = upto - self.last
        if count > 0:
            self._wrong.lost += count
            self._holes.update(range(self.last + 1, min(upto, self.last + HOLES_KEPT - len(self._holes)) + 1))
            self.last = upto

    def continues(self, first: int) -> None:
        """The stream goes on at this number after an interruption that lost nothing, says the other side."""
        self._holes.clear()
        self.missing(first - 1)

    def begins(self, first: int) -> None:
        """The stream begins, or begins anew behind a gap that was declared: nothing before this is awaited."""
        self._holes.clear()
        self.last = first - 1
