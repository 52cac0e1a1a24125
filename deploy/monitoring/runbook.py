"""Writes the runbook: what is promised, and for each alert what it means, what to look at and what to do."""

from __future__ import annotations

from deploy.monitoring.alert import Alert, squeezed
from deploy.monitoring.incidents import page as incidents
from deploy.monitoring.objectives import BURNS, OBJECTIVES, PERIOD

OPENING = f"""# Runbook

What to do when Prometheus says that something is wrong with a relay cluster. This page, `dashboard.json`,
`alerts.yaml`, `recording.yaml` and `alerts_test.yaml` are made by `python -m deploy.monitoring`; change
`deploy/monitoring/*.py` and run it again. A *page* wakes somebody; a *ticket* waits for the day.

First look, whatever it is: `relay top`, the dashboard's first row, `RelayRedisLost` and `RelayRegistryAway`. What those
two explain needs no further search.

Scrape RELAY_METRICS_PORT of every node and sweeper, every 15 s, under jobs with `relay` in their names:

```yaml
scrape_configs:
  - job_name: relay-node
    static_configs: [{{targets: ["node-1:9100", "node-2:9100", "node-3:9100"]}}]
  - job_name: relay-sweeper
    static_configs: [{{targets: ["sweeper-1:9100"]}}]
rule_files: [recording.yaml, alerts.yaml]
```

## Promises

Each over {PERIOD}. An alert compares how fast what may go wrong does go wrong, over two windows, so that it comes soon
and goes soon: {", ".join(f"{burn.rate:g} times too fast over {burn.long} ({burn.severity})" for burn in BURNS)}.

| promise | measured as | share that may be bad |
|---|---|---|
"""


def runbook(groups: dict[str, tuple[Alert, ...]]) -> str:
    """The whole page."""
    rows = []
    for each in OBJECTIVES:
        bad, all = (squeezed(side).replace("WINDOW", "30d") for side in (each.bad, each.all))
        rows.append(f"| {each.promise} | `{bad}` of `{all}` | {each.budget:.1%} |")
    page = [OPENING + "\n".join(rows), "", *incidents()]
    for title, alerts in groups.items():
        page += [f"## {title}", ""]
        for alert in alerts:
            page += [
                f"### {alert.name}",
                "",
                f"*{alert.severity}*: {alert.summary}. `{squeezed(alert.expr)}` for {alert.minutes} minutes.",
                "",
                f"* **Means:** {alert.means}",
                f"* **Look at:** {alert.look}",
                f"* **Do:** {alert.do}",
                "",
            ]
    return "\n".join(page)
