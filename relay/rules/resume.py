"""Decides what a returning peer gets: the exact rest of the output or an honest gap, and each input applied once."""

from __future__ import annotations

from typing import Literal, NamedTuple

from relay.rules.messages import After

Verdict = Literal["apply", "duplicate", "hole"]


class Replay(NamedTuple):
    """Where a replay begins, and whether it continues exactly what the browser has."""

    first: int
    recovered: bool  # False: something before `first` is gone, clear the screen


def decide_replay(after: After | None, epoch: int, first_kept: int, head: int) -> Replay:
    """The replay for a browser that has output up to `after`, from a ring that keeps `first_kept` to `head`.

    An empty ring has `first_kept` = `head` + 1. Without `after` the browser has nothing and gets all that is kept.
    """
    if after is None:
        return Replay(first_kept, first_kept == 1)
    if after.epoch != epoch or after.sequence > head or after.sequence + 1 < first_kept:
        return Replay(first_kept, False)
    return Replay(after.sequence + 1, True)


def judge(last: int, number: int) -> Verdict:
    """What to do with a numbered frame when `last` is the newest one applied."""
    if number <= last:
        return "duplicate"
    return "apply" if number == last + 1 else "hole"


class InputStream:
    """One client's numbered input into one session; `last` is what may be acknowledged, cumulatively."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def apply(self, number: int) -> Verdict:
        """`apply` counts the input as applied and is said once per number; otherwise nothing changes."""
        verdict = judge(self.last, number)
        if verdict == "apply":
            self.last = number
        return verdict
