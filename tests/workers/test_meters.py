"""Shows what a sweeper counts of its rounds."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from tests.workers.fleet import Fleet
from workers.meters import SweepMeters


class Counted:
    """A sweeper's metrics, by a clock that tests move."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = 1_000.0
        self.meters = SweepMeters(self.registry, lambda: self.seconds)

    def __call__(self, name: str, **labels: str) -> float:
        """What a series says now."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value


def test_an_operator_sees_when_rounds_stop_coming_to_their_end() -> None:
    counted = Counted()
    began = counted.meters.began()
    counted.seconds += 0.3
    counted.meters.done(began, more=False)
    assert counted("relay_sweep_age_seconds") == 0
    counted.seconds += 45
    counted.meters.waited()
    counted.meters.failed()
    assert counted("relay_sweep_age_seconds") == 45
    assert counted("relay_sweeps_total", outcome="done") == 1
    assert counted("relay_sweeps_total", outcome="waited") == 1
    assert counted("relay_sweeps_total", outcome="failed") == 1
    assert counted("relay_sweep_seconds_bucket", le="0.25") == 0
    assert counted("relay_sweep_seconds_bucket", le="0.5") == 1


def test_a_sweeper_that_does_not_get_through_says_so_until_it_does() -> None:
    counted = Counted()
    counted.meters.done(counted.meters.began(), more=True)
    assert counted("relay_sweep_behind") == 1
    counted.meters.done(counted.meters.began(), more=False)
    assert counted("relay_sweep_behind") == 0


def test_how_late_a_silent_machine_is_announced_is_counted_from_its_last_beat() -> None:
    counted = Counted()
    counted.meters.announced(1_000_000, [1_000_000 - 92_000, 1_000_000 - 130_000])
    assert counted("relay_offline_delay_seconds_bucket", le="90.0") == 0
    assert counted("relay_offline_delay_seconds_bucket", le="97.0") == 1
    assert counted("relay_offline_delay_seconds_bucket", le="+Inf") == 2


async def test_a_round_counts_whom_it_told_of(fleet: Fleet) -> None:
    counted = Counted()
    gone, fence = await fleet.join("gone")
    await fleet.join("here")
    await fleet.presence.goodbye(fleet.workspace, gone, fence)
    await fleet.sweeper(meters=counted.meters).round(fleet.keys.shards)
    assert counted("relay_swept_total", went="offline") == 1
    assert counted("relay_offline_delay_seconds_count") == 0  # it said goodbye
