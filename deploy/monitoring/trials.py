"""Writes the unit tests that promtool runs: each alert fires on what it is for, and keeps quiet beside it."""

from __future__ import annotations

from typing import Any

from deploy.monitoring.alert import Alert, Trial

EVERY = "5m"  # each minute would show the same, and take promtool five times as long


def trials(alerts: list[Alert]) -> dict[str, Any]:
    """The test file of these alerts."""
    return {
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "evaluation_interval": EVERY,
        "tests": [test for alert in alerts for test in (_test(alert, alert.fires), _test(alert, alert.quiet))],
    }


def _test(alert: Alert, trial: Trial) -> dict[str, Any]:
    fires = trial is alert.fires
    expected = {"exp_labels": {"severity": alert.severity, **trial.labels}, "exp_annotations": alert.annotations()}
    return {
        "name": f"{alert.name} {'fires' if fires else 'keeps quiet'}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in trial.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{trial.at_minutes}m",
                "alertname": alert.name,
                "exp_alerts": [expected] if fires else [],
            }
        ],
    }
