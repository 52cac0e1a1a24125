"""Commands the sessions of one machine: list, show, end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from relay.cli.place import Place, find_place
from relay.cli.table import NOTHING, age, print_json, print_table
from relay.rules.quoting import escape

if TYPE_CHECKING:
    from relay.rules.messages import Session

_WORKSPACE = click.option("--workspace", "-w", metavar="NAME", help="Another workspace than the active one.")


@click.group(name="sessions")
def command() -> None:
    """Sessions on a machine: terminals and commands, live ones and ended ones."""


@command.command(name="list")
@click.argument("machine")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
@_WORKSPACE
def list_(machine: str, as_json: bool, workspace: str | None) -> None:
    """List a machine's sessions."""
    place = find_place(workspace=workspace)
    sessions = _fetch(place, place.resolve(machine))
    if as_json:
        print_json(sessions=[_data(each) for each in sessions])
        return
    now = datetime.now(UTC).timestamp()
    print_table(
        ("ID", "KIND", "TITLE", "STARTED", "ATTACHED", "STATE"),
        [
            (each.id[:8], each.kind, each.title, f"{age(now - each.started_at)} ago", str(each.attached), _state(each))
            for each in sessions
        ],
    )


@command.command(name="show")
@click.argument("machine")
@click.argument("session")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
@_WORKSPACE
def show(machine: str, session: str, as_json: bool, workspace: str | None) -> None:
    """Show one session; the beginning of its id is enough."""
    from relay.client.session import choose_session

    place = find_place(workspace=workspace)
    data = _data(choose_session(_fetch(place, place.resolve(machine)), session))
    if as_json:
        print_json(session=data)
        return
    for name, value in data.items():
        click.echo(f"{name}: {NOTHING if value is None else escape(str(value))}")


@command.command(name="end")
@click.argument("machine")
@click.argument("session")
@_WORKSPACE
def end(machine: str, session: str, workspace: str | None) -> None:
    """End a session and what runs in it."""
    place = find_place(workspace=workspace)
    ended = asyncio.run(_end(place, place.resolve(machine), session))
    click.echo(f"ended {ended[:8]}")


def _fetch(place: Place, machine: dict[str, Any]) -> list[Session]:
    return asyncio.run(_list(place, machine))


async def _list(place: Place, machine: dict[str, Any]) -> list[Session]:
    from relay.client.connection import connected
    from relay.client.session import list_sessions

    _present(machine)
    async with connected(place.urls, place.token) as connection:
        return await list_sessions(connection, machine["id"])


async def _end(place: Place, machine: dict[str, Any], wanted: str) -> str:
    from relay.client.connection import connected
    from relay.client.session import choose_session, end_session, list_sessions

    _present(machine)
    async with connected(place.urls, place.token) as connection:
        live = [each for each in await list_sessions(connection, machine["id"]) if each.ended_at is None]
        found = choose_session(live, wanted)
        await end_session(connection, machine["id"], found.id)
        return found.id


def _present(machine: dict[str, Any]) -> None:
    from relay.cli.attending import offline

    if not machine["online"]:
        raise offline(machine)


def _state(session: Session) -> str:
    if session.ended_at is None:
        return "live"
    return f"ended: {session.ended or 'exit'}" + (f" {session.exit_code}" if session.exit_code is not None else "")


def _data(session: Session) -> dict[str, Any]:
    import msgspec

    data: dict[str, Any] = msgspec.to_builtins(session)
    for name in ("startedAt", "endedAt"):
        if data.get(name):
            moment = datetime.fromtimestamp(data[name], UTC).isoformat(timespec="milliseconds")
            data[name] = moment.replace("+00:00", "Z")
    return data
