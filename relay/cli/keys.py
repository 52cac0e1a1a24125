"""Commands workspace keys: what machines and scripts of a team sign in with."""

from __future__ import annotations

import click

from relay.cli.place import find_place
from relay.cli.table import NOTHING, print_json, print_table
from relay.cli.workspace import active_workspace, choose
from relay.rules.quoting import escape


@click.group(name="keys")
def command() -> None:
    """Keys with which machines and scripts of the workspace sign in."""


@command.command(name="create")
@click.argument("name")
@click.option("--expires-in-days", type=click.IntRange(min=1), help="End by itself after so many days.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def create(name: str, expires_in_days: int | None, as_json: bool) -> None:
    """Make a key and print its token, which is never shown again."""
    place = find_place()
    body: dict[str, object] = {"name": name}
    if expires_in_days is not None:
        body["expiresInDays"] = expires_in_days
    made = place.rest().request("POST", f"/api/workspaces/{active_workspace(place)}/keys", body=body)
    if as_json:
        print_json(key=made)
    else:
        told = f"key {made['name']} ({made['id']}); this is the only time that its token is shown:"
        click.echo(escape(told), err=True)
        click.echo(escape(made["token"]))


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def list_(as_json: bool) -> None:
    """List the workspace's keys."""
    place = find_place()
    keys = place.rest().get(f"/api/workspaces/{active_workspace(place)}/keys")["keys"]
    if as_json:
        print_json(keys=keys)
        return
    print_table(
        ("NAME", "ID", "CREATED", "BY", "EXPIRES"),
        [
            (each["name"], each["id"], each["createdAt"], each["createdBy"], each.get("expiresAt") or NOTHING)
            for each in keys
        ],
    )


@command.command(name="revoke")
@click.argument("key")
@click.option("--machines", is_flag=True, help="Revoke the machines that were registered with it, too.")
def revoke(key: str, machines: bool) -> None:
    """End a key, by id or name; its machines stay unless asked."""
    place = find_place()
    rest, path = place.rest(), f"/api/workspaces/{active_workspace(place)}/keys"
    found = choose(rest.get(path)["keys"], key)
    done = rest.request("DELETE", f"{path}/{found['id']}", {"machines": machines or None})
    revoked = len(done.get("revokedMachines", []))
    click.echo(f"revoked key {escape(found['name'])}" + (f" and {revoked} machines" if machines else ""))
