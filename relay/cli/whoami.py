"""Commands the question which machine this is: `relay whoami`."""

from __future__ import annotations

import socket
from typing import Any

import click

from relay.cli.place import find_place
from relay.cli.table import print_json
from relay.errors import BadToken, Unavailable
from relay.rules.quoting import escape


@click.command(name="whoami")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def command(as_json: bool) -> None:
    """Say which machine of the relay this one is, by its hostname; without a relay, say that."""
    told = ask(socket.gethostname())
    if as_json:
        print_json(**told)
    elif told["matched"]:
        click.echo(f"{escape(told['hostname'])} is machine {told['machine_id']}")
    else:
        click.echo(f"{escape(told['hostname'])} is no machine here: {told.get('reason', 'unknown')}")


def ask(hostname: str) -> dict[str, Any]:
    """The relay's answer, or one of the same shape that says why there is none."""
    try:
        place = find_place()
        answer: dict[str, Any] = place.rest().get("/api/whoami", hostname=hostname, workspace=place.workspace)
    except Unavailable:
        return {"matched": False, "hostname": hostname, "reason": "api unreachable"}
    except BadToken:
        return {"matched": False, "hostname": hostname, "reason": "not signed in"}
    return answer
