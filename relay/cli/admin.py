"""Commands what an operator does to a cluster beside its nodes: `relay admin`."""

from __future__ import annotations

from relay.cli import Entry, Lazy

COMMANDS: dict[str, Entry] = {
    "bootstrap": Entry("Make the first workspace and a sign-in link.", "relay.cli.admin_bootstrap"),
    "backup": Entry("Write the registry into a file.", "relay.cli.admin_backup"),
    "restore": Entry("Make the registry what a backup holds.", "relay.cli.admin_restore"),
    "migrate-to": Entry("Move the registry to another database.", "relay.cli.admin_move"),
    "rotate-secret": Entry("Replace the cluster's secret, step by step.", "relay.cli.admin_rotate"),
    "secret-status": Entry("Show what hangs on each secret.", "relay.cli.admin_secret_status"),
    "timing": Entry("Show and change the times that all nodes keep.", "relay.cli.admin_timing"),
    "prune": Entry("Delete what is long over.", "relay.cli.admin_prune"),
}

command = Lazy(
    name="admin",
    entries=COMMANDS,
    help="Set up and keep a cluster, with the same RELAY_* variables as its nodes.",
    no_args_is_help=True,
)
