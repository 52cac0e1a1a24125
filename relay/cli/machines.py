"""Commands single machines: show, rename, share or hide, kick, revoke."""

from __future__ import annotations

from typing import Any

import click

from relay.cli.place import Place, find_place, note
from relay.cli.table import NOTHING, print_json
from relay.errors import NotFound, Unavailable
from relay.rules.ids import canonical
from relay.rules.quoting import escape

_WORKSPACE = click.option("--workspace", "-w", metavar="NAME", help="Another workspace than the active one.")


@click.group(name="machines")
def command() -> None:
    """Manage single machines; MACHINE is a name, hostname or id."""


@command.command(name="show")
@click.argument("machine")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
@_WORKSPACE
def show(machine: str, as_json: bool, workspace: str | None) -> None:
    """Show all that is known of a machine."""
    found = find_place(workspace=workspace).resolve(machine)
    if as_json:
        print_json(machine=found)
        return
    for name, value in found.items():
        click.echo(escape(f"{name}: {_text(value)}"))


@command.command(name="rename")
@click.argument("machine")
@click.argument("name")
@_WORKSPACE
def rename(machine: str, name: str, workspace: str | None) -> None:
    """Give a machine another name; the old one resolves for 24 hours more."""
    place, found = _find(machine, workspace)
    changed = place.rest().request("PATCH", f"/api/machines/{found['id']}", body={"name": name})
    click.echo(f"{escape(found['name'])} is called {escape(changed['name'])} now")


@command.command(name="visibility")
@click.argument("machine")
@click.argument("visibility", type=click.Choice(["SHARED", "PRIVATE"], case_sensitive=False))
@_WORKSPACE
def visibility(machine: str, visibility: str, workspace: str | None) -> None:
    """Show a machine to the workspace, or to its owner alone."""
    place, found = _find(machine, workspace)
    body = {"visibility": visibility.upper()}
    changed = place.rest().request("PATCH", f"/api/machines/{found['id']}/visibility", body=body)
    click.echo(escape(f"{found['name']} is {changed['visibility']} now"))


@command.command(name="kick")
@click.argument("machine")
@_WORKSPACE
def kick(machine: str, workspace: str | None) -> None:
    """Drop a machine's connection; it comes back by itself."""
    place, found = _find(machine, workspace)
    place.rest().request("POST", f"/api/machines/{found['id']}/kick", body={})
    click.echo(f"kicked {escape(found['name'])}")


@command.command(name="revoke")
@click.argument("machine")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@_WORKSPACE
def revoke(machine: str, yes: bool, workspace: str | None) -> None:
    """Take a machine's registration away for good and close its connection.

    By its whole id also where Redis is away, and once more for a machine that is revoked already.
    """
    place, found = _find_or_take(machine, workspace)
    question = f"revoke {escape(found['name'])} ({found['id'][:8]}, {escape(found['hostname'])})?"
    if not yes:
        click.confirm(question, abort=True, err=True)
    done = place.rest().request("DELETE", f"/api/machines/{found['id']}")
    click.echo(f"revoked {escape(found['name'])}; connections closed: {done['closedConnections']}")
    if not done.get("refusedEverywhere", True):
        note(
            "the revocation is stored, and Redis could not be told: nodes that cannot read the registry do not know of "
            "it until it can, and may keep the machine or let it in"
        )
    elif done.get("unconfirmedNodes"):
        note(f"not confirmed yet by: {', '.join(done['unconfirmedNodes'])}; they close theirs within seconds")


def _find(machine: str, workspace: str | None) -> tuple[Place, dict[str, Any]]:
    place = find_place(workspace=workspace)
    return place, place.resolve(machine)


def _find_or_take(machine: str, workspace: str | None) -> tuple[Place, dict[str, Any]]:
    """The same, or a whole id for what it is where nobody can be asked, for a revocation needs the registry alone; and
    where nobody is found, for one that was revoked may be revoked once more. A whole id finds no other machine."""
    try:
        return _find(machine, workspace)
    except (Unavailable, NotFound) as error:
        id = canonical(machine)
        if id is None:
            raise
        if isinstance(error, Unavailable):
            note("the machine cannot be looked up now; going on with its id")
        return find_place(workspace=workspace), {"id": id, "name": id, "hostname": "hostname not known"}


def _text(value: Any) -> str:
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{name}={_text(each)}" for name, each in value.items()) or NOTHING
        case list():
            return ", ".join(map(_text, value)) or NOTHING
    return str(value)
