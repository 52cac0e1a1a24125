"""Says why a node should get no newcomers now, and what does not work there although they are welcome."""

from __future__ import annotations

import asyncio

from relay.node.beats import Beats
from relay.node.changes import Tail
from relay.node.membership import Membership
from relay.node.outage import Outage
from relay.store import Bus


class Readiness:
    """What this node's parts know of themselves, put together at each question; `inbox` is its channel."""

    def __init__(self, inbox: str, bus: Bus, membership: Membership, outage: Outage, beats: Beats, tail: Tail) -> None:
        self._inbox = inbox
        self._bus = bus
        self._membership = membership
        self._outage = outage
        self._beats = beats
        self._tail = tail

    def reasons(self) -> list[str]:
        """Why this node should get no newcomers; empty when it should.

        A server of Redis that is away is away for all nodes. It is a reason only where this node is worse off than
        others: whose inbox is there cannot be reached by them, and inboxes are spread over the servers. All the others
        stay ready, and say that they are impaired: without any ready node the machines of every shard would be turned
        away, not those of a few.
        """
        reasons = {
            "draining": self._membership.draining,
            "bus-deaf": self._unreachable(),
            "lease-lapsed": self._membership.lapsed,
            "misconfigured": self._membership.misconfigured,
            "redis-lost": self._outage.lost,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def impaired(self) -> list[str]:
        """What does not work here now, although newcomers are welcome."""
        reasons = {
            "registry-away": self._tail.away(),
            "revocations-unknown": not self._membership.trust.holds(asyncio.get_running_loop().time()),
            "redis-partly-away": bool(self._beats.away) or (self._bus.deaf and not self._unreachable()),
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _unreachable(self) -> bool:
        return self._bus.deaf_to(self._inbox)
