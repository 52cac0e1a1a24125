"""Commands the members of a workspace: list, invite, change roles, remove."""

from __future__ import annotations

from typing import Any

import click

from relay.cli.place import Place, find_place
from relay.cli.table import print_json, print_table
from relay.cli.workspace import active_workspace, choose
from relay.rules.quoting import escape

ROLES = click.Choice(["owner", "admin", "member", "viewer"])


@click.group(name="members")
def command() -> None:
    """People in the workspace and what they may do."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def list_(as_json: bool) -> None:
    """List the workspace's members."""
    place = find_place()
    members = place.rest().get(_path(place))["members"]
    if as_json:
        print_json(members=members)
        return
    print_table(
        ("NAME", "ROLE", "ID", "JOINED"),
        [(each["user"]["name"], each["role"], each["user"]["id"], each["joinedAt"]) for each in members],
    )


@command.command(name="invite")
@click.argument("name", required=False)
@click.option("--role", type=ROLES, default="member", show_default=True, help="What they may do.")
def invite(name: str | None, role: str) -> None:
    """Make a link with which one person joins; NAME is a note for the list of invitations."""
    place = find_place()
    body = {"role": role, **({"name": name} if name else {})}
    made = place.rest().request("POST", f"/api/workspaces/{active_workspace(place)}/invitations", body=body)
    click.echo(escape(f"works once, until {made['expiresAt']}:"), err=True)
    click.echo(escape(made["url"]))


@command.command(name="role")
@click.argument("member")
@click.argument("role", type=ROLES)
def change_role(member: str, role: str) -> None:
    """Change what a member may do."""
    place = find_place()
    path = _path(place)
    found = _find(place, path, member)
    place.rest().request("PATCH", f"{path}/{found['id']}", body={"role": role})
    click.echo(f"{escape(found['name'])} is {role} now")


@command.command(name="remove")
@click.argument("member")
def remove(member: str) -> None:
    """Take a member out; their PRIVATE machines are revoked, their SHARED ones pass to the workspace's owner."""
    place = find_place()
    path = _path(place)
    found = _find(place, path, member)
    done = place.rest().request("DELETE", f"{path}/{found['id']}") or {}
    revoked, passed = len(done.get("revokedMachines", [])), len(done.get("passedMachines", []))
    click.echo(f"removed {escape(found['name'])}; machines revoked: {revoked}, passed on: {passed}")


def _path(place: Place) -> str:
    return f"/api/workspaces/{active_workspace(place)}/members"


def _find(place: Place, path: str, member: str) -> dict[str, Any]:
    return choose([each["user"] for each in place.rest().get(path)["members"]], member)
