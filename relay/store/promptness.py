"""Knows from which shards somebody may be taken offline: those whose server has answered promptly for long enough."""

from __future__ import annotations

from collections.abc import Iterable

# What Redis hears later than this after it was said takes nobody offline: it stood still meanwhile. So it is noticed by
# a sweeper, which asks every two seconds, when it stood still for the three after which nodes turn machines away.
LATE_SECONDS = 1.0
NODES_FIRST_SECONDS = 2.0  # after an absence of Redis; nodes look twice a second whether it is back
NEVER = 0  # no moment of any server's clock is before it: nothing is to be done, and the answer says what time it is


class Promptness:
    """One sweeper's knowledge; all times are seconds of its own clock, which counts from anywhere."""

    def __init__(self) -> None:
        self._ahead_ms: dict[int, float] = {}  # by shard: its server's clock less ours
        self._away: set[int] = set()
        # By shard that was away: when nodes have had time to say whom they turned away.
        self._from: dict[int, float] = {}

    def until_ms(self, shard: int, now: float) -> int:
        """By the server's clock, when it is too late to do what it is asked for now; `NEVER` where it is to wait."""
        if shard not in self._ahead_ms or now < self._from.get(shard, now):
            return NEVER
        return int((now + LATE_SECONDS) * 1000 + self._ahead_ms[shard])

    def lost(self, shards: Iterable[int]) -> None:
        """Their server did not answer."""
        for shard in shards:
            self._away.add(shard)
            self._ahead_ms.pop(shard, None)

    def answered(self, shard: int, asked: float, now: float, server_ms: int) -> bool:
        """A server said what time it is; whether it may be asked again at once, where it came too late for something:
        then only our idea of its clock was wrong."""
        self._ahead_ms[shard] = server_ms - now * 1000
        if shard in self._away or now - asked > LATE_SECONDS:
            self._away.discard(shard)
            self._from[shard] = now + NODES_FIRST_SECONDS
        return now >= self._from.get(shard, now)
