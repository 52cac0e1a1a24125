"""Commands the list of machines: `relay list`, and `relay connect --list`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from relay.cli.place import Place, find_place
from relay.cli.table import NOTHING, age, print_json, print_table, seconds_between
from relay.rules import ids

COLUMNS = ("NAME", "HOSTNAME", "ID", "ONLINE", "AGE", "SESSION")


@click.command(name="list")
@click.option("--online", is_flag=True, help="Only machines that are online.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
@click.option("--workspace", "-w", metavar="NAME", help="Another workspace than the active one.")
def command(online: bool, as_json: bool, workspace: str | None) -> None:
    """List the machines that you may see."""
    show(find_place(workspace=workspace), online=online, as_json=as_json)


def show(place: Place, *, online: bool, as_json: bool) -> None:
    """Fetch and print the list."""
    machines, now = fetch(place, online=online)
    if as_json:
        print_json(machines=machines)
        return
    short = ids.shorten([each["id"] for each in machines], [each["id"] for each in machines])
    print_table(COLUMNS, [row(each, short[each["id"]], now) for each in machines])


def fetch(place: Place, *, online: bool = False) -> tuple[list[dict[str, Any]], str]:
    """All machines of the active workspace, or of all workspaces if none is active, and the relay's time."""
    rest, cursor = place.rest(), None
    machines: list[dict[str, Any]] = []
    while True:
        page = rest.get("/api/machines", workspace=place.workspace, online=online or None, cursor=cursor)
        machines += page["machines"]
        cursor = page.get("next")
        if not cursor:
            return machines, page.get("now") or datetime.now(UTC).isoformat()


def row(machine: Mapping[str, Any], short_id: str, now: str) -> tuple[str, ...]:
    """One line of the list; for a machine that is offline the age is that of its last sign of life."""
    seconds = machine.get("heartbeatAgeSeconds")
    if seconds is None:
        seconds = seconds_between(machine.get("lastSeenAt"), now)
    return (
        machine["name"],
        machine["hostname"],
        f"{short_id}…",
        "yes" if machine["online"] else "no",
        age(seconds),
        session(machine.get("activeSession")),
    )


def session(active: Mapping[str, Any] | None) -> str:
    """Who is on a machine, as `active (jane@bmw)`."""
    if not active:
        return NOTHING
    operator = active.get("operator") or {}
    user, client = operator.get("user", ""), operator.get("client", "")
    return f"active ({user}@{client})" if client else f"active ({user})"
