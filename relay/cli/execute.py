"""Commands a program on one or several machines: `relay exec`."""

from __future__ import annotations

import re
from typing import Any

import click

from relay.cli import BROKEN_PIPE
from relay.cli.place import Place, find_place, note
from relay.cli.table import print_json
from relay.errors import Invalid, NotFound, Offline, RelayError

_COMMAND = "relay.command"  # where the words behind -- are kept
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)


class Exec(click.Command):
    """A command whose arguments behind `--` are the remote one's, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the arguments at the first `--`."""
        if "--" in args:
            cut = args.index("--")
            ctx.meta[_COMMAND] = args[cut + 1 :]
            args = args[:cut]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with what stands behind `--`."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command(name="exec", cls=Exec)
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@click.option("--all", "everywhere", is_flag=True, help="On every machine of the workspace.")
@click.option("--online", is_flag=True, help="Leave out machines that are offline; alone: on all that are online.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Give up after S seconds.")
@click.option("--env", multiple=True, metavar="K=V", help="Set a variable there; may be given several times.")
@click.option("--cwd", metavar="FOLDER", help="Run in this folder.")
@click.option("--prefix/--no-prefix", default=None, help="Machine names before lines.  [default: on several machines]")
@click.option("--no-stdin", "-n", is_flag=True, help="Forward no standard input.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs, when all is done.")
@click.option("--workspace", "-w", metavar="NAME", help="Another workspace than the active one.")
@click.pass_context
def command(
    context: click.Context,
    machines: tuple[str, ...],
    everywhere: bool,
    online: bool,
    timeout: float | None,
    env: tuple[str, ...],
    cwd: str | None,
    prefix: bool | None,
    no_stdin: bool,
    as_json: bool,
    workspace: str | None,
) -> int:
    """Run COMMAND on machines, stream its output, and exit with its code: the first that is not 0, of several."""
    try:
        words = context.meta.get(_COMMAND) or []
        _check(words, machines, everywhere, online)
        environment = _environment(env)
        place = find_place(workspace=workspace)
        found = _named(place, machines, online) if machines else _everywhere(place, online)
        outcomes = _run(place, found, words, environment, cwd, timeout, prefix, no_stdin, as_json)
    except RelayError as error:
        if as_json:
            print_json(origin="relay", error=error.body(), exitCode=int(error.exit))
        raise
    except BrokenPipeError:
        return BROKEN_PIPE  # click would make it 1
    if as_json:
        print_json(results=[outcome.as_json() for outcome in outcomes])
    for outcome in outcomes:
        if outcome.error is not None:
            note(outcome.error.message)
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)


def _check(words: list[str], machines: tuple[str, ...], everywhere: bool, online: bool) -> None:
    if not words:
        raise Invalid("put the command behind --, as in: relay exec mac-studio -- uname -a")
    if everywhere and machines:
        raise Invalid("--all and machine names exclude each other")
    if not machines and not everywhere and not online:
        raise Invalid("name a machine, or say --all or --online")


def _run(
    place: Place,
    machines: list[dict[str, Any]],
    words: list[str],
    environment: dict[str, str],
    cwd: str | None,
    timeout: float | None,
    prefix: bool | None,
    no_stdin: bool,
    as_json: bool,
) -> list[Any]:
    from relay.cli.commanding import Order, run, stdin_is_forwarded

    order = Order(
        command=words,
        environment=environment,
        directory=cwd,
        timeout=timeout,
        capture=as_json,
        prefixed=len(machines) > 1 if prefix is None else prefix,
        forward_input=not no_stdin and stdin_is_forwarded(),
    )
    return run(place, machines, order)


def _named(place: Place, queries: tuple[str, ...], online: bool) -> list[dict[str, Any]]:
    """The machines in the order in which they were named, each once; all are resolved before anything runs."""
    found = {machine["id"]: machine for machine in map(place.resolve, queries)}
    chosen = [machine for machine in found.values() if machine["online"] or not online]
    if not chosen:
        raise Offline("none of these machines is online")
    return chosen


def _everywhere(place: Place, online: bool) -> list[dict[str, Any]]:
    from relay.cli.listing import fetch

    machines, _ = fetch(place, online=online)
    usable = [machine for machine in machines if "drive" in machine.get("can", ["drive"])]
    if not usable:
        raise NotFound("there is no machine to run this on")
    return usable


def _environment(given: tuple[str, ...]) -> dict[str, str]:
    for each in given:
        if not _VARIABLE.match(each):
            raise Invalid(f"--env takes NAME=VALUE, not {each!r}")
    return dict(each.split("=", 1) for each in given)
