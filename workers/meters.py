"""Counts what an operator asks about a sweeper: its rounds, whom it told of, and how late."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry

from relay.instruments import Instruments
from relay.rules import metrics
from relay.rules.tally import Tally

MS = 1_000.0


class SweepMeters:
    """The sweeper's counters. `clock` is monotonic, in seconds."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self.instruments = instruments = Instruments(registry, metrics.exported_by("sweeper"))
        self._clock = clock
        self._ended = clock()  # when the latest round was done, or counting began
        self.behind = False  # more is due than the latest round got through
        self._sweeps = instruments.counts(metrics.SWEEPS)
        self._swept = instruments.counts(metrics.SWEPT_MACHINES)
        self._cleaned = instruments.counts(metrics.CLEANED)
        self._seconds = instruments.tally(metrics.SWEEP)
        self._delays = instruments.tally(metrics.OFFLINE)
        instruments.watch(metrics.SWEEP_AGE, lambda: self.age_seconds)
        instruments.watch(metrics.SWEEP_BEHIND, lambda: float(self.behind))

    @property
    def age_seconds(self) -> float:
        """Since a round came to its end."""
        return self._clock() - self._ended

    @property
    def machines(self) -> int:
        """How many machines the registry was told of so far."""
        return self._swept.total()

    def began(self) -> float:
        """The moment at which a round begins."""
        return self._clock()

    def done(self, began: float, *, more: bool) -> None:
        """A round came to its end; `more` is due than it got through."""
        self._ended = self._clock()
        self._seconds.add(self._ended - began)
        self.behind = more
        self._sweeps[("done",)] += 1

    def waited(self) -> None:
        """A round was given up, because Redis or the registry does not answer."""
        self._sweeps[("waited",)] += 1

    def failed(self) -> None:
        """A round ended by a mistake of ours."""
        self._sweeps[("failed",)] += 1

    def told(self, *, offline: int, online: int, forgotten: int) -> None:
        """The registry was told of so many machines."""
        for went, count in (("offline", offline), ("online", online), ("forgotten", forgotten)):
            self._swept[(went,)] += count

    def announced(self, now_ms: int, heard_ms: Iterable[int]) -> None:
        """Machines that fell silent are announced now; each was heard at some moment before."""
        for heard in heard_ms:
            self._delays.add((now_ms - heard) / MS)

    def cleaned(self, count: int) -> None:
        """So many rows and records were forgotten."""
        self._cleaned[()] += count

    def shows(self, seconds: dict[str, Tally]) -> None:
        """Show how long the registry's transactions take, which it counts itself."""
        for access, tally in seconds.items():
            self.instruments.tally(metrics.SQL, access, shown=tally)
