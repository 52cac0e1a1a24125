"""Commands what is long over out of the registry: `relay admin prune`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from relay.cli.operating import told

DAY_MS = 86_400_000


@click.command(name="prune")
@click.option("--days", type=click.IntRange(min=1), default=90, show_default=True, help="What ended before so long.")
@click.option("--audit-days", type=click.IntRange(min=1), help="Also entries of the audit trail older than this.")
@click.option("--dry-run", is_flag=True, help="Only count.")
def command(days: int, audit_days: int | None, dry_run: bool) -> None:
    """Delete ended keys, tokens and sign-ins, used and expired links, and revoked machines.

    Nobody comes back by it: a revoked machine stays out, and so does the installation that it was. Rows go a few at a
    time, while nodes run. The audit trail is kept unless --audit-days is given.
    """
    from relay.uses import REGISTRY

    asyncio.run(_prune(told(REGISTRY), days, audit_days, dry_run))


async def _prune(settings: Any, days: int, audit_days: int | None, dry_run: bool) -> None:
    from relay.registry import Registry

    now_ms = time.time_ns() // 1_000_000
    before: dict[Any, int] = dict.fromkeys(("credentials", "links", "machines"), now_ms - days * DAY_MS)
    if audit_days is not None:
        before["audit entries"] = now_ms - audit_days * DAY_MS
    registry = await Registry.open(settings.database_url)
    try:
        gone = await (registry.pruning.count(before) if dry_run else registry.pruning.prune(before))
    finally:
        await registry.close()
    for noun, count in gone.items():
        click.echo(f"{count} {noun} {'would go' if dry_run else 'are gone'}")
