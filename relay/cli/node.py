"""Commands nodes: runs one, lists those of the cluster, and asks them to drain or to share their agents."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import click

from relay.cli.lean import importing
from relay.cli.operating import told
from relay.cli.table import NOTHING, age, print_json, print_table

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


class Documented(click.Group):
    """A group whose help ends with every variable that a node's settings know."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from relay.environ import variables

        with formatter.section("Variables"):
            for variable in variables():
                formatter.write_text(f"{variable.name} (default: {variable.default}; {variable.unit})")
                with formatter.indentation():
                    formatter.write_text(variable.meaning)


@click.group(name="node", cls=Documented, invoke_without_command=True)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Nodes to run here, one for each core.")
@click.option("--listener", type=int, hidden=True)  # the socket that a node was given by `--workers`
@click.pass_context
def command(context: click.Context, workers: int | None, listener: int | None) -> int | None:
    """Run one stateless node until SIGTERM, which drains it first; a second SIGTERM hurries.

    With --workers (or RELAY_WORKERS) several nodes share the port, one process each; one that ends is started again.

    The commands below speak to the nodes of a cluster through its Redis, with the same variables as a node.
    """
    if context.invoked_subcommand is not None:
        return None
    with importing():
        from relay.environ import load

    settings = load() if workers is None else load(environ={**os.environ, "RELAY_WORKERS": str(workers)})
    if settings.workers > 1:
        from relay.dev.crew import run

        return run(settings, os.environ)
    with importing():
        from relay.process import serve

    serve(settings, None if listener is None else socket.socket(fileno=listener))
    return None


@command.command(name="list", short_help="List the nodes of the cluster.")
@_JSON
def list_nodes(as_json: bool) -> None:
    """List the nodes of the cluster: where each runs, and how many agents and browsers it holds.

    Behind a balancer all have one URL; PLACE is the host and the process, which tells them apart.
    """
    asyncio.run(_list(as_json))


@command.command(name="drain", short_help="Ask a node to send its peers elsewhere and to end.")
@click.argument("node")
@click.option("--wait/--no-wait", default=True, help="Wait until it has drained and ended.")
def drain(node: str, wait: bool) -> None:
    """Ask a node to send its peers elsewhere and to end with exit code 0.

    NODE is its URL, or the beginning of its id, as `relay node list` shows them.
    """
    asyncio.run(_drain(node, wait))


@command.command(name="rebalance", short_help="Ask over-full nodes to share their agents.")
@click.option("--dry-run", is_flag=True, help="Only say which agents would be asked to move.")
@_JSON
def rebalance(dry_run: bool, as_json: bool) -> None:
    """Ask over-full nodes to offer their agents a place on emptier ones; nobody is closed for it."""
    asyncio.run(_rebalance(dry_run, as_json))


async def _list(as_json: bool) -> None:
    from relay.store.operator import SHORT_CHARACTERS
    from relay.store.overview import open_overlook
    from relay.uses import MEMORY

    settings = told(MEMORY)
    async with open_overlook(settings.redis_url, settings.redis_prefix) as overlook:
        nodes = [_fields(line) for line in (await overlook.look()).nodes]
    if as_json:
        print_json(nodes=nodes)
        return
    now = time.time()
    rows = [
        (
            node["id"][:SHORT_CHARACTERS],
            node["place"] or NOTHING,
            node["url"],
            str(node["agents"]),
            str(node["browsers"]),
            ", ".join(node["reasons"]) or node["state"],
            node["version"] or NOTHING,
            age(now - datetime.fromisoformat(node["startedAt"]).timestamp()),
        )
        for node in nodes
    ]
    print_table(("ID", "PLACE", "URL", "AGENTS", "BROWSERS", "STATE", "VERSION", "UP"), rows)


async def _drain(node: str, wait: bool) -> None:
    from relay.store.operator import name

    async with _operator() as operator:
        found = await operator.find(node)
        await operator.drain(found)
        if not wait:
            click.echo(f"{name(found)} is asked to drain")
            return
        async for now in operator.follow(found):
            click.echo(f"{name(now)} drains; left: agents {now.agents}, browsers {now.browsers}")
    click.echo(f"{name(found)} has drained")


async def _rebalance(dry_run: bool, as_json: bool) -> None:
    from relay.store.operator import name

    async with _operator() as operator:
        shares = await operator.rebalance(dry_run=dry_run)
    if as_json:
        print_json(moves=[{"from": each.giver.boot, "to": each.taker.boot, "agents": each.agents} for each in shares])
        return
    verb = "would be" if dry_run else "are"
    for giver, taker, agents in shares:
        click.echo(f"{agents} of {giver.agents} agents of {name(giver)} {verb} asked to move to {name(taker)}")
    if not shares:
        click.echo("no node holds many more agents than the others")


def _operator() -> AbstractAsyncContextManager[Any]:
    from relay.store.operator import open_operator
    from relay.uses import MEMORY

    settings = told(MEMORY)
    return open_operator(settings.redis_url, settings.redis_prefix)


def _fields(line: Any) -> dict[str, Any]:
    from relay.rules.machine import iso

    lease, report = line.lease, line.report
    return {
        "id": lease.boot,
        "place": report.place if report is not None else None,  # of a node that began a moment ago nothing is said yet
        "version": report.version if report is not None else None,
        "reasons": line.reasons,  # why it takes no newcomers
        "url": lease.url,
        "agents": lease.agents,
        "browsers": lease.browsers,
        "state": "draining" if lease.draining else "unready" if line.reasons else "ready",
        "startedAt": iso(lease.started_ms),
    }
