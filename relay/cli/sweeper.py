"""Commands the sweeper: `relay sweeper`."""

from __future__ import annotations

import click

from relay.cli.lean import importing


@click.command(name="sweeper")
def command() -> int:
    """Run the sweeper, which announces machines that fell silent; two of them never announce twice.

    It reads RELAY_REDIS_URL, RELAY_DATABASE_URL and RELAY_REDIS_PREFIX; `relay node --help` explains them.
    """
    with importing():
        from relay.environ import load
        from relay.uses import SWEEPER
        from workers.process import run_sweeper

    return run_sweeper(load(SWEEPER))
