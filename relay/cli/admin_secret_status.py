"""Commands a look at what still needs each secret: `relay admin secret-status`."""

from __future__ import annotations

import asyncio

import click

from relay.cli.operating import told
from relay.cli.table import print_json, print_table


@click.command(name="secret-status")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def command(as_json: bool) -> None:
    """Show by fingerprint how many keys, tokens, sign-ins, links and connected machines hang on each secret."""
    from relay.cli.secrets_held import KINDS, held
    from relay.rules.tokens import Secrets
    from relay.uses import ROTATION

    settings = told(ROTATION)
    found = asyncio.run(held(settings))
    here = Secrets.parse(settings.secret).ids
    roles = dict.fromkeys(here, "verifies") | {here[0]: "signs"}
    listed = [*here, *sorted(found.counts.keys() - set(here))]
    if as_json:
        print_json(
            secrets=[{"id": each, "role": roles.get(each, "unknown"), **found.on(each)} for each in listed],
            nodes={node: list(secrets) for node, secrets in found.nodes.items()},
            unconnectedMachines=found.unconnected,
        )
        return
    rows = [
        (each, roles.get(each, "unknown"), *(str(found.counts.get(each, {}).get(kind, 0)) for kind in KINDS))
        for each in listed
    ]
    print_table(("SECRET", "HERE", *(kind.upper() for kind in KINDS)), rows)
    click.echo(
        f"{found.unconnected} machines are not connected, and nobody knows what their tokens hang on: "
        "those that do not come back before their secret goes must register again",
        err=True,
    )
