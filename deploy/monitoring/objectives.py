"""Lists the service-level objectives, and makes of each the ratios to record and the alerts on how fast it is spent."""

from __future__ import annotations

from typing import Any, NamedTuple

from deploy.monitoring.alert import Alert, Severity, Trial, squeezed

PERIOD = "30 days"
INSTANCE = 'instance="a:9100"'
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d")


class Burn(NamedTuple):
    """How fast a budget may be spent before somebody is told, over a long window and, so that it ends soon after the
    trouble does, over a short one."""

    speed: str
    rate: float  # 1: all of the budget in 30 days
    long: str
    short: str
    severity: Severity


# 2 % of the budget in an hour, 5 % in six hours, 10 % in a day: each is worth an alert, the first two at night.
BURNS = (
    Burn("Fast", 14.4, "1h", "5m", "page"),
    Burn("Steady", 6.0, "6h", "30m", "page"),
    Burn("Slow", 3.0, "1d", "2h", "ticket"),
)


class Objective(NamedTuple):
    """One promise: which share of events is to be good."""

    name: str  # of its series: relay:NAME_errors:ratio_rate5m
    title: str
    target: float
    promise: str
    bad: str  # events a second, with WINDOW for the window
    all: str
    means: str
    look: str
    do: str
    good_series: dict[str, str]  # a cluster that keeps it, per minute
    bad_series: dict[str, str]  # one that breaks it

    @property
    def budget(self) -> float:
        """Which share of events may be bad."""
        return 1 - self.target

    def recorded(self, window: str) -> str:
        """The name of the recorded ratio of bad events."""
        return f"relay:{self.name}_errors:ratio_rate{window}"

    def records(self) -> list[dict[str, Any]]:
        """The rules that record it."""
        return [
            {
                "record": self.recorded(window),
                "expr": squeezed(f"({self.bad}) / ({self.all})").replace("WINDOW", window),
            }
            for window in WINDOWS
        ]

    def alerts(self) -> list[Alert]:
        """One for each speed."""
        return [self._alert(burn) for burn in BURNS]

    def _alert(self, burn: Burn) -> Alert:
        limit = f"{burn.rate:g} * {self.budget:g}"
        return Alert(
            f"Relay{self.title}Budget{burn.speed}",
            f"{self.recorded(burn.long)} > {limit} and {self.recorded(burn.short)} > {limit}",
            2,
            burn.severity,
            f"{self.promise}: the budget of {PERIOD} is being spent {burn.rate:g} times too fast",
            f"{self.means} Seen over {burn.long} and still over {burn.short}.",
            self.look,
            self.do,
            Trial(self.bad_series),
            Trial(self.good_series),
        )


OBJECTIVES = (
    Objective(
        "attach",
        "Attach",
        0.999,
        "99.9 % of attaches succeed",
        'sum(rate(relay_attaches_total{outcome="failed"}[WINDOW]))',
        "sum(rate(relay_attaches_total[WINDOW]))",
        "People ask for a session and get no answer for our sake: a node that does not answer, Redis away, a machine "
        "that moves. Rightful refusals, such as that a machine is offline, are not counted.",
        "Attaches by outcome and instance; RelayRedisLost, RelayBusDeaf, RelayLoopHeld; nodes that came and went.",
        "Mend the cause named by those. If one node fails and no other, drain it.",
        {
            f'relay_attaches_total{{outcome="done", {INSTANCE}}}': "0+100x240",
            f'relay_attaches_total{{outcome="denied", {INSTANCE}}}': "0+50x240",
            f'relay_attaches_total{{outcome="failed", {INSTANCE}}}': "0x240",
        },
        {
            f'relay_attaches_total{{outcome="done", {INSTANCE}}}': "0+100x240",
            f'relay_attaches_total{{outcome="failed", {INSTANCE}}}': "0+5x240",
        },
    ),
    Objective(
        "delivery",
        "Delivery",
        0.99,
        "99 % of messages between nodes arrive within 50 ms",
        'sum(rate(relay_delivery_seconds_count[WINDOW])) - sum(rate(relay_delivery_seconds_bucket{le="0.05"}[WINDOW]))',
        "sum(rate(relay_delivery_seconds_count[WINDOW]))",
        "Each node sends itself a message each second, on the way that frames take to other nodes; too many took "
        "longer than 50 ms, or could not arrive because the node was deaf.",
        "All nodes or one; loop lag; Redis's CPU and network; bytes that wait on the bus.",
        "One node: RelayLoopHeld. All: give the bus a Redis of its own, or a Cluster.",
        {
            f'relay_delivery_seconds_bucket{{le="0.05", {INSTANCE}}}': "0+60x240",
            f'relay_delivery_seconds_bucket{{le="+Inf", {INSTANCE}}}': "0+60x240",
            f"relay_delivery_seconds_count{{{INSTANCE}}}": "0+60x240",
        },
        {
            f'relay_delivery_seconds_bucket{{le="0.05", {INSTANCE}}}': "0+30x240",
            f'relay_delivery_seconds_bucket{{le="+Inf", {INSTANCE}}}': "0+60x240",
            f"relay_delivery_seconds_count{{{INSTANCE}}}": "0+60x240",
        },
    ),
    Objective(
        "offline",
        "Offline",
        0.99,
        "99 % of silent machines are announced offline 90 to 97 s after their last beat",
        """
        sum(rate(relay_offline_delay_seconds_count[WINDOW]))
          - sum(rate(relay_offline_delay_seconds_bucket{le="97.0"}[WINDOW]))
          + sum(rate(relay_offline_delay_seconds_bucket{le="90.0"}[WINDOW]))
        """,
        "sum(rate(relay_offline_delay_seconds_count[WINDOW]))",
        "Machines fell silent and were announced late, or early, which must never happen.",
        "Rounds of the sweepers, how long they take, whether they are behind; RelayRegistrySlow. After an outage of "
        "Redis they wait on purpose for half a minute, for machines to come back first. Early ones mean that the "
        "clocks of sweepers and Redis differ.",
        "Two sweepers beside each other; NTP on all hosts; a quicker registry.",
        {
            'relay_offline_delay_seconds_bucket{le="90.0", instance="s:9100"}': "0x240",
            'relay_offline_delay_seconds_bucket{le="97.0", instance="s:9100"}': "0+10x240",
            'relay_offline_delay_seconds_count{instance="s:9100"}': "0+10x240",
        },
        {
            'relay_offline_delay_seconds_bucket{le="90.0", instance="s:9100"}': "0x240",
            'relay_offline_delay_seconds_bucket{le="97.0", instance="s:9100"}': "0+5x240",
            'relay_offline_delay_seconds_count{instance="s:9100"}': "0+10x240",
        },
    ),
)
