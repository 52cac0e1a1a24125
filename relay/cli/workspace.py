"""Commands workspaces: list them, choose the active one, make one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from relay.cli.place import Place, find_place
from relay.cli.table import print_json, print_table
from relay.client.profile import Profile, config_folder
from relay.errors import Ambiguous, BadToken, NotFound, WorkspaceRequired
from relay.rules import ids
from relay.rules.quoting import escape, quote


@click.group(name="workspace")
def command() -> None:
    """Your teams, and which one commands look at."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def list_(as_json: bool) -> None:
    """List your workspaces; a star marks the active one."""
    place = find_place()
    workspaces = place.rest().get("/api/workspaces")["workspaces"]
    if as_json:
        print_json(workspaces=workspaces, active=place.workspace)
        return
    stars = ["*" if place.workspace in (each["id"], each["name"]) else "" for each in workspaces]
    print_table(
        ("NAME", "ROLE", "ID", "ACTIVE"),
        [(each["name"], each["role"], each["id"], star) for each, star in zip(workspaces, stars, strict=True)],
    )


@command.command(name="use")
@click.argument("name")
def use(name: str) -> None:
    """Make a workspace the one that commands look at; NAME may be its id."""
    place = find_place()
    found = choose(place.rest().get("/api/workspaces")["workspaces"], name)
    _remember(place, found["id"])
    click.echo(f"using workspace {escape(found['name'])}")


@command.command(name="create")
@click.argument("name")
def create(name: str) -> None:
    """Make a workspace that you own, and use it."""
    place = find_place()
    made = place.rest().request("POST", "/api/workspaces", body={"name": name})
    _remember(place, made["id"])
    click.echo(f"created workspace {escape(made['name'])} ({made['id']}), and using it")


def choose(found: Sequence[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """The one of `found` with this id or name, or whose id begins so; raises `NotFound` or `Ambiguous`."""
    folded = wanted.casefold()
    tiers = (
        [each for each in found if each["id"] == folded],
        [each for each in found if each["name"].casefold() == folded],
        [each for each in found if len(folded) >= 4 and each["id"].startswith(folded)],
    )
    for matches in tiers:
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise Ambiguous(f"several are called {quote(wanted)}: use an id, such as {matches[0]['id']}")
    raise NotFound(f"there is nothing called {quote(wanted)}")


def active_workspace(place: Place) -> str:
    """The id of the active workspace, which is the only one if there is just one; raises `WorkspaceRequired`."""
    given = ids.canonical(place.workspace) if place.workspace else None
    if given is not None:
        return given
    workspaces = place.rest().get("/api/me")["workspaces"]
    if place.workspace is not None:
        return str(choose(workspaces, place.workspace)["id"])
    if len(workspaces) == 1:
        return str(workspaces[0]["id"])
    raise WorkspaceRequired("you belong to several workspaces: choose one with `relay workspace use NAME`")


def _remember(place: Place, workspace: str) -> None:
    profile = Profile(config_folder())
    login = next((found for found in map(profile.login, place.urls) if found), None)
    if login is None:
        raise BadToken("RELAY_TOKEN stands for itself: set RELAY_WORKSPACE beside it")
    profile.save_login(login._replace(workspace=workspace), make_current=False)
