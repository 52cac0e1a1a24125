"""Lists what goes wrong at night, as whoever is woken would name it: which alert says so, which panel, what to type."""

from __future__ import annotations

from typing import NamedTuple

from deploy.monitoring.alert import LOG
from relay.rules import metrics as m
from relay.rules.metric import Metric


class Incident(NamedTuple):
    """One way to be woken."""

    name: str
    alerts: tuple[str, ...]
    panels: tuple[Metric, ...]
    type: str  # the first command, and what it shows


INCIDENTS = (
    Incident(
        "one node is slow",
        ("RelayLoopHeld", "RelayStandstill"),
        (m.LAG, m.CPU, m.PAUSE),
        "`relay top`, whose lag and CPU name the node; then `relay node drain NODE`",
    ),
    Incident(
        "Redis fails over, or is gone",
        ("RelayRedisLost", "RelayBusDeaf", "RelayShardsAway"),
        (m.BUS_LOSSES, m.REDIS, m.REDIS_LOST),
        '`redis-cli -u "$RELAY_REDIS_URL" INFO replication`; with Sentinel `redis-cli -p 26379 SENTINEL masters`',
    ),
    Incident(
        "the registry is down",
        ("RelayRegistryAway", "RelayRegistrySlow"),
        (m.REGISTRY_AWAY, m.SQL),
        "`relay config check --connect` on a node, which tries it; `pg_isready -h HOST`, or `ls -l` of SQLite's folder",
    ),
    Incident(
        "the registry's disk is full",
        ("RelayRegistryRefuses",),
        (m.SQL_FAILED, m.REST_ANSWERS),
        f"`{LOG} | grep 'the registry'`; `df -h` where it lies",
    ),
    Incident(
        "the sweeper is dead",
        ("RelayNoSweeper", "RelaySweepStalled"),
        (m.SWEEPS, m.SWEEP_AGE),
        "`relay top --once` lists sweepers that live; `systemctl restart relay-sweeper`",
    ),
    Incident(
        "browsers are slow in reading",
        ("RelaySlowPeers",),
        (m.BEHIND, m.OUTBOX, m.CLOSED),
        f"`{LOG} | grep '\"code\": 4102'` names whom; one network or one proxy?",
    ),
    Incident(
        "everybody reconnects at once",
        ("RelayRefusing",),
        (m.OPENED, m.REFUSED, m.HELLO),
        "`relay top`: are all nodes there, and does the number of agents grow? It passes within two minutes",
    ),
    Incident(
        "a client floods",
        ("RelayLimitMet", "RelayBadTokens"),
        (m.LIMITS, m.FRAMES_IN, m.REFUSED),
        f'`{LOG} | grep -o \'"user": "[^"]*"\' | sort | uniq -c | sort -n | tail`; `relay machines kick NAME`',
    ),
    Incident(
        "a revocation does not take effect",
        ("RelayChangesBehind",),
        (m.CHANGES_AGE, m.CHANGES, m.BEATS_LOST),
        "`relay machines revoke ID` once more, with the whole id that `relay audit` shows, for the name may be another "
        "machine's by now: it says how many connections it closed, and which nodes did not answer; those "
        "`relay node drain NODE`",
    ),
    Incident(
        "a clock is wrong",
        ("RelayClockSkew",),
        (m.CLOCK_AHEAD,),
        "`relay config check --connect` on the host; `timedatectl timesync-status`",
    ),
)


def page() -> list[str]:
    """The table, for the runbook."""
    rows = ["## It is night, and", "", "| this goes on | says so | shows it | type first |", "|---|---|---|---|"]
    for each in INCIDENTS:
        said = ", ".join(f"[{name}](#{name.lower()})" for name in each.alerts)
        shown = ", ".join(f"`{metric.name}`" for metric in each.panels)
        typed = each.type.replace("|", "\\|")
        rows.append(f"| {each.name} | {said} | {shown} | {typed} |")
    return [*rows, ""]
