"""Exports to Prometheus what a process counts in plain numbers, and only what is on the list of metrics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from relay.rules.metric import Metric
from relay.rules.tally import Tally

Reading = Callable[[], float]
Counts = Counter[tuple[str, ...]]  # by label values, in the order of the metric's labels
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Instruments(Collector):
    """A process's metrics, or some of them. Who counts adds to plain numbers, without a lock and without looking
    labels up; they become Prometheus's objects when somebody asks."""

    def __init__(self, registry: CollectorRegistry, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)
        self._counts: dict[Metric, Counts] = {}
        self._readings: dict[Metric, dict[tuple[str, ...], Reading]] = {metric: {} for metric in self._metrics}
        self._tallies: dict[Metric, dict[tuple[str, ...], Tally]] = {metric: {} for metric in self._metrics}
        for metric in self._metrics:
            if metric.kind == "counter":
                # What was never counted is 0, not absent: else the first refusal of all would be no increase.
                self._counts[metric] = Counter(dict.fromkeys(metric.combinations(), 0))
        registry.register(self)

    def counts(self, metric: Metric) -> Counts:
        """The numbers of a counter, to be added to."""
        return self._counts[metric]

    def watch(self, metric: Metric, reading: Reading, *values: str) -> None:
        """Show what `reading` returns whenever somebody asks; for a counter, something that only grows."""
        self._counts.pop(metric, None)
        self._readings[metric][values] = reading

    def tally(self, metric: Metric, *values: str, shown: Tally | None = None) -> Tally:
        """The tally of a histogram, to be added to: one that somebody has already, or a new one."""
        tally = shown or Tally(metric.bounds)
        return self._tallies[metric].setdefault(values, tally)

    def describe(self) -> Iterator[Family]:
        """The families without their samples, which Prometheus asks for to compare names."""
        return map(_family, self._metrics)

    def collect(self) -> Iterator[Family]:
        """Everything as it is now."""
        for metric in self._metrics:
            family = _family(metric)
            if isinstance(family, HistogramMetricFamily):
                for values, tally in list(self._tallies[metric].items()):
                    family.add_metric(values, [(_bound(to), n) for to, n in tally.buckets()], tally.total)
            else:
                for values, number in list(self._counts.get(metric, {}).items()):
                    family.add_metric(values, number)
                for values, reading in self._readings[metric].items():
                    family.add_metric(values, reading())
            yield family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == math.inf else str(seconds)


def _family(metric: Metric) -> Family:
    match metric.kind:
        case "counter":
            return CounterMetricFamily(metric.name, metric.help, labels=metric.label_names)
        case "gauge":
            return GaugeMetricFamily(metric.name, metric.help, labels=metric.label_names)
        case "histogram":
            return HistogramMetricFamily(metric.name, metric.help, labels=metric.label_names)
