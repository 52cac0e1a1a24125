"""Counts how attachments and requests of this node's browsers began, came back and ended."""

from __future__ import annotations

from collections import Counter

from relay.errors import RelayError, TimedOut, Unavailable
from relay.rules import metrics
from relay.rules.tally import Tally

# What a promise is broken by. All else that is answered with an error is the right answer, such as that a machine is
# offline, or that somebody may not have it.
OURS = (Unavailable, TimedOut)


class Outcomes:
    """Plain numbers that `gauges.py` shows; one of each node, reached by whoever knows its hub."""

    __slots__ = ("attaches", "ends", "moves", "request_seconds", "requests", "resumes")

    def __init__(self) -> None:
        self.attaches: Counter[str] = Counter()  # by outcome
        self.requests: Counter[tuple[str, str]] = Counter()  # by operation and outcome
        self.request_seconds = {each: Tally(metrics.REQUEST_SECONDS) for each in metrics.OPERATION.values}
        self.resumes: Counter[str] = Counter()  # by what came of them
        self.ends: Counter[str] = Counter()  # of attachments, by reason
        self.moves = 0  # agents asked to move to another node

    def requested(self, operation: str, seconds: float, error: BaseException | None) -> None:
        """A person's question to a machine was answered, or failed."""
        self.requests[operation, outcome(error)] += 1
        self.request_seconds[operation].add(seconds)

    def attached(self, recovered: bool | None) -> None:
        """A machine answers an attach. To one that came back: exactly what it missed follows, or a snapshot of what is
        there now."""
        self.attaches["done"] += 1
        if recovered is not None:
            self.resumes["recovered" if recovered else "snapshot"] += 1


def outcome(error: BaseException | None) -> str:
    """What became of something that a person asked for."""
    if error is None:
        return "done"
    return "denied" if isinstance(error, RelayError) and not isinstance(error, OURS) else "failed"


def code_of(error: BaseException | None) -> str:
    """The word for what went wrong; empty if nothing did, and `left` where nobody waits for it any more."""
    if error is None:
        return ""
    if isinstance(error, RelayError):
        return error.code
    return "internal" if isinstance(error, Exception) else "left"
