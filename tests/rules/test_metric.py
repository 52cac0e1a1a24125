import pytest

from relay.rules.metric import OTHER, Label, Metric, Question

ROLE = Label("role", ("agent", "browser"))
LIMIT = Label("limit", ("OUTBOX_BYTES", OTHER))
CALL = Label("call", of="operation ids")


def metric(kind: str, *labels: Label) -> Metric:
    return Metric("relay_x", kind, "x", "An x", Question.WHO, labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "series"),
    [
        ("counter", ("relay_x_total",)),
        ("gauge", ("relay_x",)),
        ("histogram", ("relay_x_bucket", "relay_x_count", "relay_x_sum")),
    ],
)
def test_a_query_names_a_metric_as_prometheus_does(kind: str, series: tuple[str, ...]) -> None:
    assert metric(kind).series == series


def test_no_word_of_a_peer_becomes_a_series() -> None:
    assert LIMIT.word("OUTBOX_BYTES") == "OUTBOX_BYTES"
    assert LIMIT.word("what a peer made up") == OTHER


def test_a_label_that_another_list_closes_is_counted_as_it_is() -> None:
    assert CALL.word("list_machines") == "list_machines"


def test_everything_that_can_be_counted_is_known_beforehand() -> None:
    found = metric("counter", ROLE, LIMIT)
    assert found.label_names == ("role", "limit")
    assert len(found.combinations()) == 4
    assert ("browser", OTHER) in found.combinations()
    assert metric("gauge").combinations() == [()]
    assert metric("counter", ROLE, CALL).combinations() == []
