"""Decides who holds the keyboard of a session: a client, whatever attachment it types through at the moment."""

from __future__ import annotations

from relay.rules import timing
from relay.rules.messages import Operator


class Driver:
    """The keyboard. Every method that can move it says whether it did; the term counts how often it passed from one
    client to another, so that whoever finds it free and unchanged goes on with what they typed before."""

    def __init__(self) -> None:
        self.client: str | None = None
        self.attachment = 0  # 0 while the holder is away
        self.operator: Operator | None = None
        self.term = 0
        self._latest: str | None = None  # who has it, or had it before it was free
        self._kept_until: float | None = None  # monotonic seconds; None while the holder is attached

    def holds(self, client: str) -> bool:
        """Whether input of this client applies."""
        return self.client == client

    def attached(self, client: str, attachment: int, operator: Operator, *, take: bool) -> bool:
        """A client that may drive attached: it gets a keyboard that is free, or its own back, or takes it."""
        if self.client is not None and self.client != client and not take:
            return False
        return self.give(client, attachment, operator)

    def give(self, client: str, attachment: int, operator: Operator) -> bool:
        """Pass the keyboard to this attachment."""
        moved = (self.client, self.attachment) != (client, attachment)
        if self._latest != client:
            self.term += 1
        self._latest = client
        self.client, self.attachment, self.operator = client, attachment, operator
        self._kept_until = None
        return moved

    def left(self, attachment: int, *, dropped: bool, now: float) -> bool:
        """An attachment is gone. A holder that was dropped keeps the keyboard for a while, one that left does not."""
        if attachment == 0 or attachment != self.attachment:
            return False
        self.attachment = 0
        if dropped:
            self._kept_until = now + timing.DRIVER_KEPT_SECONDS
            return False  # nobody else may type, so for the others nothing has changed yet
        self._free()
        return True

    def expire(self, now: float) -> bool:
        """Free a keyboard whose holder did not come back in time."""
        if self._kept_until is None or now < self._kept_until:
            return False
        self._free()
        return True

    def _free(self) -> None:
        self.client = self.operator = self._kept_until = None
        self.attachment = 0
