"""Says how long to wait before a relay is dialled again, after each kind of end."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random, SystemRandom

from relay.client.ends import ClosedBackOff, ClosedSoon, Shed
from relay.errors import Close, RelayError
from relay.rules import timing

# At most, however often we were refused: so says a node that has no Redis at the moment, and a machine that stays away
# for longer than the grace of one whose socket dropped is said to be offline for it.
CAPACITY_SECONDS = timing.DROPPED_SECONDS / 2
# A peer that a node took, however briefly, goes no further up the steps: of an agent's that is 5 s. Its machine is not
# said to be offline then, however often a balancer or a row of dying nodes cuts it off; the long steps are for a relay
# that takes nobody.
WELCOMED_FAILURES = 2
SHED_JITTER = 0.2  # each waits up to this part longer, since all who were told the same second would return in it


class BackOff:
    """Full jitter over growing steps, with no clock and no sleep inside."""

    def __init__(self, steps: Sequence[float] = timing.AGENT_BACK_OFF_SECONDS, *, random: Random | None = None) -> None:
        self._steps = steps
        self._random = random or SystemRandom()
        self._failures = 0
        self._welcomed = False  # since the last wait
        self._hint: float | None = None

    def next(self) -> float:
        """Seconds to wait now; each call counts one more failure."""
        step = self._steps[min(self._failures, len(self._steps) - 1)]
        self._failures += 1
        hint, self._hint = self._hint, None
        return hint if hint is not None else self._random.uniform(0, step)

    def hint(self, seconds: float) -> None:
        """What the server asked for; overrides the next wait."""
        self._hint = max(0.0, seconds)

    def after(self, end: RelayError) -> float:
        """Seconds to wait after this end: soon for 4200-4299, the longer part of a grown step for 4100-4199, and never
        less than what a busy node asked for."""
        welcomed, self._welcomed = self._welcomed, False
        if isinstance(end, Shed):
            return end.again_seconds * (1 + self._random.uniform(0, SHED_JITTER))
        if isinstance(end, ClosedSoon) and 4200 <= end.close_code < 4300:
            self._failures = 0
            return self.next()
        if isinstance(end, ClosedBackOff):
            self._failures = max(self._failures + 1, 2)
            step = self._steps[min(self._failures, len(self._steps) - 1)]
            if end.close_code in (Close.OVER_CAPACITY, Close.UNAVAILABLE):
                step = min(step, CAPACITY_SECONDS)
            hint, self._hint = self._hint, None
            return hint if hint is not None else step / 2 + self._random.uniform(0, step / 2)
        if welcomed:
            self._failures = min(self._failures, WELCOMED_FAILURES)
        return self.next()

    def connected_for(self, seconds: float) -> None:
        """A connection that just ended was welcomed so long before; after a stable one start from the first step."""
        self._welcomed = True
        if seconds >= timing.STABLE_SECONDS:
            self._failures = 0
