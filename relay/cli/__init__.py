"""Finds the command that was asked for, imports only that, and turns every failure into one line and an exit code.

A command's file may return an exit code from its function, raise a `RelayError`, or simply end for 0.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from relay import VERSION
from relay.errors import Exit, RelayError
from relay.rules.quoting import escape

ALONE = object()  # of a context: the command has the process to itself
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
BROKEN_PIPE = 141  # 128 + SIGPIPE: whoever read our output left, which is nobody's failure


class Entry(NamedTuple):
    """One row of `relay --help`, and where its click command is found when it is asked for."""

    help: str
    module: str
    attribute: str = "command"


# Commands by name, in the order of `relay --help`. A row is all that a new file needs; nothing here imports it.
COMMANDS: dict[str, Entry] = {
    "login": Entry("Sign in.", "relay.cli.login"),
    "logout": Entry("Sign out.", "relay.cli.login", "logout"),
    "list": Entry("List the machines that you may see.", "relay.cli.listing"),
    "connect": Entry("Open a terminal on a machine.", "relay.cli.connect"),
    "exec": Entry("Run a command on machines.", "relay.cli.execute"),
    "sessions": Entry("List, show and end sessions on a machine.", "relay.cli.sessions"),
    "whoami": Entry("Say which machine of the relay this one is.", "relay.cli.whoami"),
    "machines": Entry("Show, rename, share, hide, kick and revoke machines.", "relay.cli.machines"),
    "workspace": Entry("List, choose and create workspaces.", "relay.cli.workspace"),
    "members": Entry("List, invite and remove members of the workspace.", "relay.cli.members"),
    "keys": Entry("Create, list and revoke keys of the workspace.", "relay.cli.keys"),
    "audit": Entry("Show who changed what in the workspace.", "relay.cli.audit"),
    "dev": Entry("Run a whole cluster on this machine.", "relay.cli.dev"),
    "serve": Entry("Serve this machine: make it reachable.", "relay.cli.serve"),
    "node": Entry("Run one stateless node, configured by RELAY_* variables.", "relay.cli.node"),
    "top": Entry("Watch the nodes and sweepers of the cluster.", "relay.cli.top"),
    "sweeper": Entry("Run the sweeper, which announces machines that fell silent.", "relay.cli.sweeper"),
    "config": Entry("Check and show the settings of nodes.", "relay.cli.config"),
    "support": Entry("Collect what is known of a cluster, without secrets.", "relay.cli.support"),
    "admin": Entry("Set up a cluster, back its registry up, move it.", "relay.cli.admin"),
}


class Lazy(click.Group):
    """A group whose commands are imported when they run and never to list them."""

    def __init__(self, *, entries: dict[str, Entry], **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.entries = entries

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        entry = self.entries.get(name)
        if entry is None:
            return None
        found = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(found, click.Command), f"{entry.module}.{entry.attribute} is no click command"
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"relay {VERSION}")
        context.exit()


def program() -> click.Group:
    """The command line as a click group."""
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    group = Lazy(
        name="relay",
        entries=COMMANDS,
        help="Reach any machine of your team by name.",
        context_settings=settings,
        no_args_is_help=True,
    )
    group.params.append(
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show it.")
    )
    return group


def run(arguments: Sequence[str] | None = None, *, alone: bool = False) -> int:
    """Runs one command line and returns its exit code; what failed is on stderr as `relay: …`. One that is `alone` has
    the process to itself."""
    surroundings, output = ALONE if alone else None, sys.stdout
    try:
        code = program().main(args=arguments, prog_name="relay", standalone_mode=False, obj=surroundings)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        place = f" ({error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(f"{error.format_message()}{place}", Exit.USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), Exit.FAILURE)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:
        if sys.stdout is output:
            raise
        return BROKEN_PIPE  # so click says it, which has put something in front that lets nobody complain again
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends and would complain again.
        sys.stdout = None
        return BROKEN_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = None  # else what could not be written would be tried again
        return _fail("what this says cannot be written: no space is left", Exit.FAILURE)
    except (RelayError, BaseExceptionGroup) as error:
        known = _known(error)
        if known is None:
            raise
        return _fail(escape(known.message), known.exit)
    return code if isinstance(code, int) else Exit.OK


def main() -> None:
    """The entry point of the `relay` program."""
    sys.exit(run(alone=True))


def _fail(message: str, code: int) -> int:
    click.echo(f"relay: {message}", err=True)
    return int(code)


def _known(error: BaseException) -> RelayError | None:
    """The first error of ours inside a task group's bundle, if nothing but ours and cancellations is in it."""
    if isinstance(error, RelayError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [_known(part) for part in error.exceptions]
        return found[0] if all(found) else None
    return None
