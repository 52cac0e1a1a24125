"""Commands a terminal on a machine: `relay connect`, which also lists, runs commands and switches workspaces."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from relay.cli.place import Place, find_place
from relay.errors import Invalid

# Words that are commands here too; a machine of such a name is reached by its id or hostname.
_ELSEWHERE = {"exec": "relay.cli.execute", "workspace": "relay.cli.workspace"}


class Connect(click.Command):
    """A command whose first word may be another command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the other command if its name comes first."""
        if args and args[0] in _ELSEWHERE:
            other: click.Command = import_module(_ELSEWHERE[args[0]]).command
            return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(name="connect", cls=Connect)
@click.argument("machine", required=False)
@click.option("--session", metavar="ID", help="Attach to this session; the beginning of its id is enough.")
@click.option("--watch", is_flag=True, help="Observe the open session without typing.")
@click.option("--take", is_flag=True, help="Take the keyboard of the open session.")
@click.option("--list", "as_list", is_flag=True, help="List machines instead.")
@click.option("--online", is_flag=True, help="With --list: only machines that are online.")
@click.option("--json", "as_json", is_flag=True, help="With --list: JSON for programs.")
@click.option("--workspace", "-w", metavar="NAME", help="Another workspace than the active one.")
def command(
    machine: str | None,
    session: str | None,
    watch: bool,
    take: bool,
    as_list: bool,
    online: bool,
    as_json: bool,
    workspace: str | None,
) -> int:
    """Open a terminal on MACHINE (name, hostname or id); `~.` on a new line or Ctrl-] leaves, the session goes on.

    Without MACHINE there is a picker. `relay connect exec` is `relay exec`, and so is `relay connect workspace`.
    """
    if watch and take:
        raise Invalid("--watch and --take exclude each other")
    if (online or as_json) and not as_list:
        raise Invalid("--online and --json belong to --list")
    place = find_place(workspace=workspace)
    if as_list:
        from relay.cli.listing import show

        show(place, online=online, as_json=as_json)
        return 0
    found = place.resolve(machine) if machine else _pick(place)
    if found is None:
        return 0
    from relay.cli.attending import Wish, run

    return run(place, found, Wish(session, watch, take))


def _pick(place: Place) -> dict[str, Any] | None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Invalid("name a machine: the picker needs a terminal")
    from relay.cli.picker import pick

    return pick(place)
