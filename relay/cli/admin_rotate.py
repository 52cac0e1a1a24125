"""Commands the steps in which a cluster's secret is replaced: `relay admin rotate-secret`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Literal

import click

from relay.cli.operating import told

SECRET_BYTES = 32  # 256 bits, written in 43 characters
Step = Literal["add", "sign", "drop"]


@click.command(name="rotate-secret")
@click.option("--sign", "step", flag_value="sign", help="The second step: the new secret signs.")
@click.option("--drop", "step", flag_value="drop", help="The last step: the old secret goes.")
@click.option("--force", is_flag=True, help="Also if somebody is turned away by it.")
def command(step: Step | None, force: bool) -> None:
    """Print the RELAY_SECRET of the next step of a rotation; only it goes to standard output.

    \b
    relay admin rotate-secret           the new secret beside the old one: every node knows it
    relay admin rotate-secret --sign    the new secret first: it signs, and agents get new tokens
    relay admin rotate-secret --drop    the new secret alone, once nothing hangs on the old one

    After each step give all nodes what was printed and restart them one by one; the next step asks them whether they
    have it. `relay admin secret-status` shows what hangs on which secret.
    """
    from relay.uses import ROTATION

    settings = told(ROTATION)
    values = settings.secret.split(",")
    asyncio.run(_next(settings, values, step or "add", force))


async def _next(settings: Any, values: Sequence[str], step: Step, force: bool) -> None:
    from relay.cli.secrets_held import held
    from relay.errors import Conflict
    from relay.rules import rotation
    from relay.rules.tokens import Secrets

    ids = Secrets.parse(",".join(values)).ids
    if step == "add":
        after = rotation.add(values, secrets.token_urlsafe(SECRET_BYTES))
        advice = "give all nodes this, restart them one by one, and then: relay admin rotate-secret --sign"
        hindrances: list[str] = []
    else:
        after = rotation.sign(values) if step == "sign" else rotation.drop(values)
        found = await held(settings)
        if step == "sign":
            hindrances = rotation.not_ready_to_sign(found.nodes, ids[-1])
            advice = "give all nodes this, restart them one by one, and watch: relay admin secret-status"
        else:
            hanging = {old: found.on(old) for old in ids[1:]}
            hindrances = rotation.not_ready_to_drop(found.nodes, ids[0], hanging, found.unconnected)
            advice = "give all nodes this and restart them one by one; the rotation is done"
    if hindrances and not force:
        raise Conflict(f"not yet: {'; '.join(hindrances)} (--force does it all the same)")
    click.echo(",".join(after))
    click.echo(advice, err=True)
