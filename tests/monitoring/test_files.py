"""Shows that what watches a cluster is made of its list of metrics, up to date, whole, and read by Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
import yaml

from deploy.monitoring.__main__ import main
from deploy.monitoring.dashboard import dashboard, expressions
from deploy.monitoring.files import ALERTS, FOLDER, files, outdated, write
from deploy.monitoring.incidents import INCIDENTS
from deploy.monitoring.objectives import OBJECTIVES
from relay.cli import program
from relay.rules import metrics
from relay.rules.metric import Question
from relay.rules.metrics import BY_SERIES
from tests.monitoring.promtool import promtool
from tests.monitoring.queries import groupings, selectors

OF_PROMETHEUS = {"instance", "job", "le"}  # labels that it adds, or that a histogram has
RECORDED = {rule["record"] for objective in OBJECTIVES for rule in objective.records()}
QUERIES = [
    *expressions(),
    *(alert.expr for alert in ALERTS),
    *(rule["expr"] for objective in OBJECTIVES for rule in objective.records()),
]


def mistakes(expr: str) -> list[str]:
    """What a query names that no node or sweeper exports."""
    found = []
    labels = set(OF_PROMETHEUS)
    for selector in selectors(expr):
        if selector.series == "up" or selector.series in RECORDED:
            continue
        metric = BY_SERIES.get(selector.series)
        if metric is None:
            found.append(f"no metric {selector.series}")
            continue
        labels |= set(metric.label_names)
        for matcher in selector.matchers:
            if matcher.label in OF_PROMETHEUS:
                continue
            closed = next((label for label in metric.labels if label.name == matcher.label), None)
            if closed is None:
                found.append(f"{selector.series} has no label {matcher.label}")
            elif closed.values:
                found += [f"{matcher.label} is never {word}" for word in matcher.words if word not in closed.values]
            if matcher.label == "le" and metric.kind != "histogram":
                found.append(f"{selector.series} is no histogram")
    return found + [f"nothing here has a label {label}" for label in groupings(expr) - labels]


def test_what_is_committed_is_what_would_be_written() -> None:
    assert outdated() == [], "run python -m deploy.monitoring"


def test_what_is_outdated_is_named_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(write(tmp_path)) == set(files())
    assert outdated(tmp_path) == []
    (tmp_path / "RUNBOOK.md").write_text("something else")
    assert outdated(tmp_path) == ["RUNBOOK.md"]
    monkeypatch.setattr("deploy.monitoring.__main__.outdated", lambda: ["RUNBOOK.md"])
    assert main(["--check"]) == 1
    assert "RUNBOOK.md" in capsys.readouterr().out
    assert main(["--wrong"]) == 64


def test_queries_ask_only_for_what_is_exported() -> None:
    assert {expr: found for expr in QUERIES if (found := mistakes(expr))} == {}


@pytest.mark.parametrize(
    "expr",
    [
        "relay_agents_total",
        'relay_sockets_closed_total{why="4102"}',
        'relay_sockets_closed_total{code="4199"}',
        'relay_handshakes_refused_total{why=~"too-fast|too-slow"}',
        "sum by (machine) (relay_agents)",
    ],
)
def test_a_query_for_what_nobody_exports_is_found(expr: str) -> None:
    assert mistakes(expr)


def test_the_dashboard_has_a_row_for_every_question_and_a_panel_for_every_metric() -> None:
    panels = dashboard()["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == [str(question) for question in Question]
    described = " ".join(panel.get("description", "") for panel in panels)
    assert [metric.name for metric in metrics.METRICS if f"`{metric.name}`" not in described] == []
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert json.loads((FOLDER / "dashboard.json").read_text())["title"] == "Relay cluster"


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_has_its_entry_in_the_runbook_and_leads_there() -> None:
    page = (FOLDER / "RUNBOOK.md").read_text(encoding="utf-8")
    for alert in ALERTS:
        assert f"### {alert.name}\n" in page
        assert alert.annotations()["runbook"] == f"deploy/monitoring/RUNBOOK.md#{alert.name.lower()}"
        assert alert.means in page
        assert alert.look in page
        assert alert.do in page
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_every_alert_is_tried_twice_to_fire_and_to_keep_quiet() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    tried = [(rule["alertname"], len(rule["exp_alerts"])) for test in tests for rule in test["alert_rule_test"]]
    assert tried == [(alert.name, fires) for alert in ALERTS for fires in (1, 0)]


def test_prometheus_reads_every_rule_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    drawn = [
        {"record": f"drawn:{number}", "expr": expr.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, expr in enumerate(expressions())
    ]
    (tmp_path / "drawn.yaml").write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": drawn}]}))
    (tmp_path / "wrong.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "wrong", "rules": [{"record": "wrong", "expr": "sum(relay_agents"}]}]})
    )
    names = [str(FOLDER / "alerts.yaml"), str(FOLDER / "recording.yaml"), "drawn.yaml"]
    read = promtool("check", "rules", *names, folder=tmp_path)
    assert read.returncode == 0, read.stdout + read.stderr
    assert f"SUCCESS: {len(drawn)} rules found" in read.stdout
    assert promtool("check", "rules", "wrong.yaml", folder=tmp_path).returncode != 0


def test_every_alert_fires_on_what_it_is_for_and_keeps_quiet_beside_it() -> None:
    tried = promtool("test", "rules", "alerts_test.yaml", folder=FOLDER)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_each_incident_of_the_night_names_alerts_panels_and_commands_that_there_are() -> None:
    alerts, exported = {alert.name for alert in ALERTS}, set(metrics.METRICS)
    for incident in INCIDENTS:
        assert set(incident.alerts) <= alerts, incident.name
        assert set(incident.panels) <= exported, incident.name
        for words in re.findall(r"`relay ([a-z ]+)", incident.type):
            group: click.Command = program()
            for word in words.split():
                assert isinstance(group, click.Group), words
                found = group.get_command(click.Context(group), word)
                assert found is not None, f"{incident.name}: relay {words}"
                group = found
                if not isinstance(group, click.Group):
                    break


def test_a_slow_node_is_named_beside_what_all_nodes_do_together() -> None:
    (panel,) = [each for each in dashboard()["panels"] if "`relay_loop_lag_seconds`" in each.get("description", "")]
    assert [target["legendFormat"] for target in panel["targets"]] == ["p50", "p99", "p99 of {{instance}}, the slowest"]
