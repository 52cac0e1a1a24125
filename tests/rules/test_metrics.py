import re

from relay.errors import Close
from relay.rules import metrics
from relay.rules.metric import Question
from relay.rules.metrics import METRICS, exported_by

SERIES_PER_METRIC = 64  # of one process, known beforehand; a cluster of a hundred nodes has a hundred times as many


def test_no_two_metrics_share_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert metrics.BY_SERIES["relay_sockets_closed_total"] is metrics.CLOSED


def test_names_are_those_of_prometheus_and_end_in_their_unit_where_it_is_one_of_nature() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"(relay|process)(_[a-z]+)+", metric.name), metric.name
        assert not metric.name.endswith("_total"), metric.name
        if metric.unit == "seconds":
            assert metric.name.endswith("_seconds"), metric.name
        if metric.kind == "histogram":
            assert metric.unit == "seconds"
            assert list(metric.bounds) == sorted(metric.bounds)
        assert bool(metric.bounds) == (metric.kind == "histogram"), metric.name


def test_every_metric_says_in_a_sentence_without_a_full_stop_what_it_is() -> None:
    for metric in METRICS:
        assert metric.help[0].isupper() or metric.help[0].isdigit(), metric.name
        assert not metric.help.endswith("."), metric.name
        assert metric.processes, metric.name


def test_every_question_of_an_operator_is_answered_by_something() -> None:
    assert {metric.question for metric in METRICS} == set(Question)


def test_labels_are_closed_and_few() -> None:
    for metric in METRICS:
        for label in metric.labels:
            assert bool(label.values) != bool(label.of), f"{metric.name}: {label.name}"
            assert not label.name.endswith(("machine", "session", "workspace", "user", "id")), metric.name
        assert len(metric.combinations()) <= SERIES_PER_METRIC, metric.name


def test_every_close_code_of_ours_is_counted_under_its_own_number() -> None:
    assert {str(int(code)) for code in Close} <= set(metrics.CODES)
    assert "0" in metrics.CODES


def test_a_node_and_a_sweeper_share_what_every_process_has() -> None:
    node, sweeper = set(exported_by("node")), set(exported_by("sweeper"))
    assert metrics.BUILD in node & sweeper
    assert metrics.AGENTS in node - sweeper
    assert metrics.SWEEPS in sweeper - node
