"""Commands a whole cluster on this machine: `relay dev`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click


@click.command(name="dev")
@click.option("--nodes", default=2, show_default=True, type=click.IntRange(1, 16), help="How many nodes.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1, 65_500), help="The first node's; others follow."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that keeps everything between starts.  [default: relay/ in the XDG state folder]",
)
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
def command(nodes: int, port: int, data: Path | None, no_open: bool) -> None:
    """Run a whole cluster on this machine: nodes, sweeper, an agent for this machine, on an embedded Valkey.

    Prints a one-time sign-in link and signs your CLI in. Ctrl-C stops everything; the next start finds the same
    machines, keys and history.
    """
    from relay.dev.cluster import Plan, run
    from relay.dev.folder import default_folder

    asyncio.run(run(Plan(nodes, port, data or default_folder(), not no_open)))
