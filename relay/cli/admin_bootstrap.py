"""Commands the first workspace of a cluster: `relay admin bootstrap`."""

from __future__ import annotations

import asyncio

import click

from relay.cli.operating import told


@click.command(name="bootstrap")
@click.option("--workspace", metavar="NAME", help="What the first workspace is called.")
@click.option("--owner", metavar="NAME", help="What its owner is called.")
def command(workspace: str | None, owner: str | None) -> None:
    """Make the tables, the first workspace and its owner, and print a link that signs the owner in once.

    On a cluster that has a workspace it makes only a new link for the longest-standing owner.
    """
    asyncio.run(_bootstrap(workspace, owner))


async def _bootstrap(workspace: str | None, owner: str | None) -> None:
    from relay.dev.founding import Founder
    from relay.rules.quoting import escape
    from relay.uses import FOUNDER

    settings = told(FOUNDER)
    founder = await Founder.open(settings.database_url, settings.secret)
    try:
        founded = await founder.found(workspace, owner)
        link = await founder.sign_in_link(settings.public_url, founded)
    finally:
        await founder.close()
    click.echo(escape(f"workspace {founded.workspace.name}, owner {founded.owner.name}"), err=True)
    click.echo(link)
