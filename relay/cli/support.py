"""Commands what helps somebody else to help: `relay support`."""

from __future__ import annotations

from relay.cli import Entry, Lazy

COMMANDS: dict[str, Entry] = {
    "bundle": Entry("Collect what is known of a cluster into one file, without secrets.", "relay.cli.support_bundle"),
}

command = Lazy(
    name="support",
    entries=COMMANDS,
    help="Collect what others need to find out what is wrong.",
    no_args_is_help=True,
)
