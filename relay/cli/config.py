"""Commands what a cluster is configured by: `relay config`."""

from __future__ import annotations

from relay.cli import Entry, Lazy

COMMANDS: dict[str, Entry] = {
    "check": Entry("Say everything that is wrong with the RELAY_* variables.", "relay.cli.config_check"),
    "env": Entry("Show every variable, its value and where it is from.", "relay.cli.config_env"),
    "doc": Entry("Print a table of all settings.", "relay.cli.config_doc"),
}

command = Lazy(
    name="config",
    entries=COMMANDS,
    help="Check and show the RELAY_* variables of nodes and sweepers.",
    no_args_is_help=True,
)
