"""Commands the audit trail of the workspace: `relay audit`."""

from __future__ import annotations

import json

import click

from relay.cli.place import find_place
from relay.cli.table import print_json, print_table
from relay.cli.workspace import active_workspace

LINES = 50  # entries shown unless more are asked for: about one screen


@click.command(name="audit")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=LINES, show_default=True, help="How many entries.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def command(limit: int, as_json: bool) -> None:
    """Show who changed what, newest first."""
    place = find_place()
    rest, path = place.rest(), f"/api/workspaces/{active_workspace(place)}/audit"
    entries: list[dict[str, object]] = []
    cursor = None
    while len(entries) < limit:
        page = rest.get(path, cursor=cursor)
        entries += page["entries"]
        cursor = page.get("next")
        if not cursor:
            break
    entries = entries[:limit]
    if as_json:
        print_json(entries=entries)
        return
    print_table(
        ("AT", "WHO", "DID", "TO", "DETAIL"),
        [
            (
                str(each["at"]),
                str((each.get("actor") or {}).get("name", "")),  # type: ignore[attr-defined]
                str(each["action"]),
                str(each["subject"]),
                json.dumps(each["detail"], ensure_ascii=False) if each.get("detail") else "",
            )
            for each in entries
        ],
    )
