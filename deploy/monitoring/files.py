"""Puts together the files that are committed, and writes those that are not up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring import alerts, alerts_peers, alerts_stores
from deploy.monitoring.alert import Alert
from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.objectives import OBJECTIVES
from deploy.monitoring.runbook import runbook
from deploy.monitoring.trials import trials

FOLDER = Path(__file__).parent
MADE = "# Made by `python -m deploy.monitoring`; change the Python files beside it and run that again.\n"

GROUPS: dict[str, tuple[Alert, ...]] = {
    "Is everybody there?": alerts.PARTS,
    "Readiness and change": alerts.READINESS,
    "Redis and the registry": alerts_stores.STORES,
    "Between nodes": alerts_stores.BUS,
    "Presence and sweeps": alerts_stores.PRESENCE,
    "Newcomers": alerts_peers.WELCOME,
    "Who is cut off": alerts_peers.FAREWELL,
    "Limits": alerts_peers.LIMITS,
    "Processes": alerts_peers.HEALTH,
    "Budgets": tuple(alert for objective in OBJECTIVES for alert in objective.alerts()),
}
ALERTS = [alert for group in GROUPS.values() for alert in group]


def files() -> dict[str, str]:
    """The content of each file by its name."""
    recording = [{"name": f"relay-{each.name}", "rules": each.records()} for each in OBJECTIVES]
    alerting = [
        {"name": f"relay: {title}", "rules": [alert.rule() for alert in group]} for title, group in GROUPS.items()
    ]
    return {
        "dashboard.json": json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n",
        "recording.yaml": _yaml({"groups": recording}),
        "alerts.yaml": _yaml({"groups": alerting}),
        "alerts_test.yaml": _yaml(trials(ALERTS)),
        "RUNBOOK.md": runbook(GROUPS),
    }


def outdated(folder: Path = FOLDER) -> list[str]:
    """Names of the files that are not as they would be written."""
    return [
        name
        for name, text in files().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is outdated; the names."""
    changed = outdated(folder)
    for name, text in files().items():
        if name in changed:
            (folder / name).write_text(text, encoding="utf-8")
    return changed


def _yaml(content: dict[str, Any]) -> str:
    return MADE + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000)
