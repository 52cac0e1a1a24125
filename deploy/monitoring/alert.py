"""Describes one alert: when it fires, what it means, what to look at and what to do, and how both are shown."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

Severity = Literal["page", "ticket"]
RUNBOOK = "deploy/monitoring/RUNBOOK.md"
LOG = "journalctl -u 'relay-*' --since -15min -o cat"  # or the logs of containers; one JSON object a line
TRIAL_MINUTES = 30  # when a trial is looked at unless it says otherwise; its series last four times as long


class Trial(NamedTuple):
    """What a cluster might be measured at: each series with its values as promtool writes them, one a minute."""

    series: dict[str, str]
    labels: dict[str, str] = {}  # that the alert then carries, its severity aside  # noqa: RUF012 - never changed
    at_minutes: int = TRIAL_MINUTES


class Alert(NamedTuple):
    """One alert. It is shown to fire and to keep quiet, or it is not to be trusted with anybody's sleep."""

    name: str
    expr: str
    minutes: int  # that it holds before anybody is told
    severity: Severity
    summary: str
    means: str
    look: str
    do: str
    fires: Trial
    quiet: Trial

    @property
    def anchor(self) -> str:
        """Its entry in the runbook."""
        return f"{RUNBOOK}#{self.name.lower()}"

    def annotations(self) -> dict[str, str]:
        """What whoever is woken reads first."""
        return {"summary": self.summary, "runbook": self.anchor}

    def rule(self) -> dict[str, Any]:
        """As Prometheus takes it."""
        return {
            "alert": self.name,
            "expr": squeezed(self.expr),
            "for": f"{self.minutes}m",
            "labels": {"severity": self.severity},
            "annotations": self.annotations(),
        }


def steady(value: float) -> str:
    """The same value for as long as any trial."""
    return f"{value:g}x{TRIAL_MINUTES * 4}"


def growing(per_minute: float) -> str:
    """A counter that grows."""
    return f"0+{per_minute:g}x{TRIAL_MINUTES * 4}"


def squeezed(expr: str) -> str:
    """An expression on one line."""
    return re.sub(r"\s+", " ", expr).strip()
