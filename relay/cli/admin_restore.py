"""Commands a registry back from its backup: `relay admin restore`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from relay.cli.operating import told


@click.command(name="restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Throw away what the registry holds now.")
@click.option("--copy", is_flag=True, help="For another cluster: the registry becomes one of its own.")
@click.option("--without-redis", is_flag=True, help="Do not ask Redis which machines were revoked since the backup.")
@click.option("--force", is_flag=True, help="With --replace, also while nodes or sweepers run.")
def command(file: Path, replace: bool, copy: bool, without_redis: bool, force: bool) -> None:
    """Make the registry at RELAY_DATABASE_URL what FILE holds, in one transaction; it must be empty.

    What happened after the backup is forgotten, but for this: machines that Redis or the replaced registry know to be
    revoked stay revoked; keys, tokens and sign-ins that had ended in a replaced registry stay ended, and its members
    have no more than the roles that they had there. Sign-in links and invitations are over. Machines that were
    registered since must register again, with `--register-again`.

    What a replaced registry does not have any more counts as taken away, as pruning leaves no other trace. If it lost
    rows by accident restore into an empty registry instead of replacing it.
    """
    from relay.uses import BOTH

    asyncio.run(_restore(told(BOTH), file, replace, copy, without_redis or copy, force))


async def _restore(settings: Any, file: Path, replace: bool, copy: bool, without_redis: bool, force: bool) -> None:
    from relay.cli.running import mirrored, refuse_while_running
    from relay.errors import Unavailable
    from relay.registry import Backup, Elsewhere, restore
    from relay.rules.machine import iso

    backup = Backup.open(file)
    if replace and not force:
        await refuse_while_running(settings, "replacing its registry")
    elsewhere = Elsewhere()
    if not without_redis:
        try:
            elsewhere = Elsewhere(*await mirrored(settings, backup.live_machines()))
        except Unavailable:
            raise Unavailable(
                "Redis does not answer, which knows the machines that were revoked since the backup; "
                "--without-redis restores all the same"
            ) from None
    done = await restore(
        settings.database_url, backup, time.time_ns() // 1_000_000, elsewhere=elsewhere, replace=replace, copy=copy
    )
    machines, people = done.tallies["machines"].rows, done.tallies["people"].rows
    click.echo(f"restored as of {iso(backup.header.at_ms)}: {machines} machines and {people} people")
    click.echo(f"revoked since, and again: {done.revoked} machines; ended since, and again: {done.ended} credentials")
    if done.narrowed.members or done.narrowed.machines:
        click.echo(
            f"removed or demoted since, and again: {done.narrowed.members} members; "
            f"{done.narrowed.machines} machines are whose and as visible as they were last"
        )
    if done.links:
        click.echo(f"{done.links} sign-in links and invitations are over: send new ones")
