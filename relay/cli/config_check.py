"""Commands a look at the settings, and at what they lead to: `relay config check`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from relay.cli.operating import only_errors
from relay.errors import Exit, Misconfigured, RelayError, Unavailable


@click.command(name="check")
@click.option("--connect", is_flag=True, help="Also ask Redis and the registry.")
@click.option("--sweeper", is_flag=True, help="For a sweeper, which reads fewer of them and needs no RELAY_SECRET.")
def command(connect: bool, sweeper: bool) -> int:
    """Say everything that is wrong with the RELAY_* variables, one line each, and exit 78 if anything is.

    With --connect also: whether Redis and the registry answer and are new enough, and what of this host, of Redis and
    of the cluster that runs there would keep a node from what it promises. Nothing is changed by it. Where nothing is
    wrong, but Redis or the registry does not answer, the exit code is 75: try again.
    """
    from relay.environ import read
    from relay.rules import checkup
    from relay.rules.quoting import escape
    from relay.uses import SWEEPER

    only_errors()
    settings, wrong = read(os.environ, SWEEPER if sweeper else None)
    if settings is None:
        for sentence in wrong:
            click.echo(f"relay: {escape(sentence)}", err=True)
        return Exit.CONFIGURATION
    click.echo("the settings are sound")
    findings = [] if sweeper else [checkup.proxies(https=settings.secure, trusted=bool(settings.trusted_proxies))]
    if connect:
        findings += asyncio.run(look(settings, node=not sweeper))
    for finding in findings:
        mark = {"good": "ok", "doubt": "doubt", "wrong": "WRONG", "away": "AWAY"}[finding.kind]
        click.echo(f"{mark:<6} {escape(finding.says)}", err=finding.kind in ("wrong", "away"))
    kinds = {finding.kind for finding in findings}
    return Exit.CONFIGURATION if "wrong" in kinds else Exit.UNAVAILABLE if "away" in kinds else Exit.OK


async def look(settings: Any, *, node: bool = True) -> list[Any]:
    """What is to be said of everything around a node, or around a sweeper, which has no sockets."""
    from relay.rules import checkup

    findings = [checkup.open_files(_open_files(), settings.sockets)] if node else []
    findings += await _registry(settings)
    findings += await _redis(settings)
    return findings


async def _registry(settings: Any) -> list[Any]:
    from relay.registry import version
    from relay.rules.checkup import Finding

    try:
        return [Finding("good", await version(settings.database_url))]
    except RelayError as error:
        return [_refused(error, settings.database_url)]


def _refused(error: RelayError, url: str) -> Any:
    from relay.rules.checkup import Finding
    from relay.urls import masked

    if isinstance(error, Unavailable):
        return Finding("away", f"{error.message} ({masked(url)})")
    return Finding("wrong", error.message)


async def _redis(settings: Any) -> list[Any]:
    from relay.rules import checkup
    from relay.rules.tokens import Secrets
    from relay.store import Keys, open_memory
    from relay.store.inspection import Inspection

    memory = None
    findings: list[Any] = []
    try:
        memory = open_memory(settings.redis_url)
        inspection = Inspection(memory, Keys(settings.redis_prefix))
        findings += await inspection.findings()
        here, chosen = await _known(settings)
        findings.append(await inspection.agreement(chosen))
        if here is not None:
            findings.append(checkup.registry_owner(settings.redis_prefix, here, await inspection.owner()))
        if settings.secret:
            there = {lease.url: lease.marks.secrets for lease in await inspection.nodes()}
            findings += checkup.secrets(Secrets.parse(settings.secret).ids, there)
    except RelayError as error:
        findings.append(_refused(error, settings.redis_url))
    finally:
        if memory is not None:
            await memory.aclose()
    return findings


async def _known(settings: Any) -> tuple[str | None, dict[str, float]]:
    """Which registry this is, and the times that an operator chose."""
    from relay.registry import known_charter, known_rhythm

    try:
        found = await known_charter(settings.database_url)
        chosen = await known_rhythm(settings.database_url)
    except (Misconfigured, Unavailable):
        return None, {}  # which was said already
    return None if found is None else str(found.id), chosen.values


def _open_files() -> int | None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
