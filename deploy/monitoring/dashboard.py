"""Draws the Grafana dashboard: promises and the state of the cluster first, then a row for each operator's question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deploy.monitoring.objectives import OBJECTIVES
from relay.rules import metrics
from relay.rules.metric import Metric, Question

COLUMNS = 24  # of Grafana's grid
PANEL_WIDTH, PANEL_HEIGHT = 8, 7
STAT_WIDTH, STAT_HEIGHT = 4, 4
SCHEMA_VERSION = 39
SOURCE = {"type": "prometheus", "uid": "${source}"}
PICKED = '{instance=~"$instance"}'
UNITS = {"seconds": "s", "bytes": "bytes", "number": "none"}  # Grafana's words; others are said in the title


class Stat(NamedTuple):
    """One number at the top."""

    title: str
    expr: str
    unit: str = "none"
    help: str = ""


STATS = (
    Stat("Nodes", "count(relay_agents)", help="Nodes that are scraped"),
    Stat("Ready nodes", "count(sum by (instance) (relay_unready) == 0) or vector(0)", help="They take newcomers"),
    Stat("Machines", "sum(relay_agents)", help="Agents connected to any node"),
    Stat("People's sockets", "sum(relay_browsers)", help="Browsers and commands connected to any node"),
    Stat("Frames out", 'sum(rate(relay_frames_sent_total{peer!="node"}[$__rate_interval]))', "cps"),
    Stat("Bytes out", 'sum(rate(relay_bytes_sent_total{peer!="node"}[$__rate_interval]))', "Bps"),
    *(
        Stat(f"{each.title}: budget spent", f"{each.recorded('1d')} / {each.budget:g}", "percentunit", each.promise)
        for each in OBJECTIVES
    ),
    Stat("Sweepers", "count(relay_sweep_age_seconds) or vector(0)", help="Sweepers that are scraped"),
    Stat("Gaps", "sum(rate(relay_lane_gaps_total[$__rate_interval]))", "cps", "Frames between nodes that were missed"),
    Stat(
        "Presence drift", "sum(relay_presence_drift)", help="Machines about which Redis and a node disagree; 0 is right"
    ),
)


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana imports it."""
    return {
        "uid": "relay-cluster",
        "title": "Relay cluster",
        "description": "Made by `python -m deploy.monitoring` from relay/rules/metrics.py; change it there.",
        "tags": ["relay"],
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_restarts()]},
        "panels": list(_panels()),
    }


def expressions() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in _panels() for target in panel.get("targets", ())]


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Instance",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(relay_build_info, instance)",
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _restarts() -> dict[str, Any]:
    return {
        "name": "Starts",
        "datasource": SOURCE,
        "enable": True,
        "expr": "changes(process_start_time_seconds[2m]) > 0",
        "titleFormat": "{{instance}} started",
        "iconColor": "orange",
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for at, stat in enumerate(STATS):
        left = at * STAT_WIDTH % COLUMNS
        top = at * STAT_WIDTH // COLUMNS * STAT_HEIGHT
        yield _stat(stat) | {"id": number, "gridPos": _place(left, top, STAT_WIDTH, STAT_HEIGHT)}
        number += 1
    top += STAT_HEIGHT
    for question in Question:
        asked = [metric for metric in metrics.METRICS if metric.question is question]
        yield {
            "id": number,
            "type": "row",
            "title": str(question),
            "collapsed": False,
            "panels": [],
            "gridPos": _place(0, top, COLUMNS, 1),
        }
        number, top = number + 1, top + 1
        for at, metric in enumerate(asked):
            left = at * PANEL_WIDTH % COLUMNS
            line = top + at * PANEL_WIDTH // COLUMNS * PANEL_HEIGHT
            yield _graph(metric) | {"id": number, "gridPos": _place(left, line, PANEL_WIDTH, PANEL_HEIGHT)}
            number += 1
        top += -(-len(asked) * PANEL_WIDTH // COLUMNS) * PANEL_HEIGHT


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _stat(stat: Stat) -> dict[str, Any]:
    return {
        "type": "stat",
        "title": stat.title,
        "description": stat.help,
        "datasource": SOURCE,
        "targets": [{"refId": "A", "expr": stat.expr, "datasource": SOURCE}],
        "fieldConfig": {"defaults": {"unit": stat.unit}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"},
    }


def _graph(metric: Metric) -> dict[str, Any]:
    targets = [
        {"refId": letter, "expr": expr, "legendFormat": legend, "datasource": SOURCE}
        for letter, (expr, legend) in zip("ABC", _queries(metric), strict=False)
    ]
    unit = UNITS.get(metric.unit, "short")
    title = metric.name.removeprefix("relay_").replace("_", " ").capitalize()
    if metric.kind == "counter":
        unit, title = {"bytes": "Bps", "seconds": "percentunit"}.get(metric.unit, "cps"), f"{title} a second"
    return {
        "type": "timeseries",
        "title": title,
        "description": f"{metric.help}. `{metric.name}`",
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
    }


def _queries(metric: Metric) -> list[tuple[str, str]]:
    """What a panel shows of a metric: the sum over nodes for what has labels, else each node by itself."""
    names = metric.label_names
    by = ", ".join(names) or "instance"
    legend = " ".join(f"{{{{{name}}}}}" for name in names) or "{{instance}}"
    match metric.kind:
        case "counter":
            return [(f"sum by ({by}) (rate({metric.series[0]}{PICKED}[$__rate_interval]))", legend)]
        case "gauge" if names:
            return [(f"sum by ({by}) ({metric.name}{PICKED})", legend)]
        case "gauge":
            return [(f"{metric.name}{PICKED}", legend)]
        case "histogram":
            among = ", ".join(("le", *names))
            rate = f"sum by ({among}) (rate({metric.series[0]}{PICKED}[$__rate_interval]))"
            tail = f" {legend}" if names else ""
            shown = [(f"histogram_quantile({q}, {rate})", f"p{q * 100:g}{tail}") for q in (0.5, 0.99)]
            # One slow node of twenty is not to be seen in what all do together.
            each = f"sum by (instance, le) (rate({metric.series[0]}{PICKED}[$__rate_interval]))"
            worst = (f"topk(1, histogram_quantile(0.99, {each}))", "p99 of {{instance}}, the slowest")
            return shown if names else [*shown, worst]
