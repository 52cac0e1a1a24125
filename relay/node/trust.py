"""Judges whether a node that cannot read the registry may take Redis's word for it that a machine was not revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from relay.errors import RegistryUnavailable
from relay.store import Lease
from relay.store.leases import LISTED_MS

ENDED_SECONDS = LISTED_MS / 1000  # who vanished so long ago has ended


class Trust:
    """What Redis does not say of a machine proves nothing if somebody may have revoked it who could not tell Redis.

    Only nodes revoke. While one that has a lease reads the registry, Redis has whatever was revoked; and while nobody
    reads it but every node is accounted for, nobody revokes. But a node that fell silent, be it before this one
    started, may be cut off from Redis and not from the registry. Then newcomers are let in for some seconds more, in
    which those of a node that died together with the registry have come back, and no longer. Who is connected stays: we
    are in trouble, not the machines.
    """

    def __init__(self, away: Callable[[], bool], seconds: float) -> None:
        self._away = away  # whether this node cannot read the registry
        self._seconds = seconds
        self._lost: dict[str, float] = {}  # who vanished although Redis forgot of them, and when that was noticed
        self._unsure_at: float | None = None  # since when Redis may not know of everybody; monotonic seconds
        self._refuses = False

    def away(self) -> bool:
        """What this node tells the others: whether it cannot read the registry."""
        return self._away()

    def look(
        self, now: float, others: Sequence[Lease], vanished: Sequence[str] = (), forgotten: Sequence[str] = ()
    ) -> None:
        """The other nodes that have a lease at this moment; those that vanished within the last hour, as Redis
        remembers; and those of whom it forgot that they live and who were not listed again, which is to be said once.
        To be called at each renewal of this node's own."""
        lost, here = dict.fromkeys(forgotten, now) | self._lost, {lease.boot for lease in others}
        self._lost = {boot: at for boot, at in lost.items() if boot not in here and now - at < ENDED_SECONDS}
        missing = sorted({*vanished, *self._lost} - here)
        if not missing or not self._away() or any(not lease.away for lease in others):
            self._unsure_at = None
        elif self._unsure_at is None:
            self._unsure_at = now
        refuses, self._refuses = self._refuses, not self.holds(now)
        if self._refuses and not refuses:
            words = "machines are not let in: a node is missing that may have revoked some"
            structlog.get_logger().warning(words, missing=missing)
        elif refuses and not self._refuses:
            structlog.get_logger().info("machines are let in again")

    def holds(self, now: float) -> bool:
        """Whether machines may be let in at this moment."""
        return self._unsure_at is None or not self._away() or now - self._unsure_at <= self._seconds

    def check(self) -> None:
        """Raises `RegistryUnavailable` when they may not."""
        if not self.holds(asyncio.get_running_loop().time()):
            raise RegistryUnavailable("nobody here can tell who was revoked elsewhere")
