"""Keeps who holds which attachment number of one session whose agent is on this node, and where its frames go."""

from __future__ import annotations

from relay.node.audience import Audience
from relay.rules.messages import Operator, Session
from relay.traces import UNTOLD

NUMBERS = 65_535  # what the header's 16 bits hold, 0 aside


class Holder:
    """Who holds an attachment number of a session whose agent is here: another node, or an attachment of ours."""

    __slots__ = ("boot", "operator", "seen", "since_ms", "span")

    def __init__(self, boot: str | None, operator: Operator, seen: float, since_ms: int) -> None:
        self.boot = boot  # None: here
        self.operator = operator
        self.seen = seen  # monotonic seconds when the holder last said that it lives
        self.since_ms = since_ms  # Unix milliseconds
        self.span = UNTOLD  # of its attach, which ends with the agent's answer


class Route:
    """One session of an agent on this node, and who gets its frames."""

    __slots__ = ("audience", "described", "holders", "last", "remote")

    def __init__(self, described: Session) -> None:
        self.described = described
        self.audience = Audience()
        self.remote: dict[str, set[int]] = {}  # by node: its attachments that take what everybody gets
        self.holders: dict[int, Holder] = {}
        self.last = 0

    def hold(self, holder: Holder) -> int:
        """A free attachment number, not reused before all others were, so that late frames find nobody."""
        while True:
            self.last = self.last % NUMBERS + 1
            if self.last not in self.holders:
                self.holders[self.last] = holder
                return self.last

    def release(self, number: int) -> Holder | None:
        """Forget a number wherever it was."""
        holder = self.holders.pop(number, None)
        if holder is None:
            return None
        holder.span.end("left")  # if it is not over: an answer ended it
        if holder.boot is not None:
            group = self.remote.get(holder.boot)
            if group is not None:
                group.discard(number)
                if not group:
                    del self.remote[holder.boot]
        return holder
