"""Commands every variable with its effective value: `relay config env`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import click

from relay.cli.table import print_json, print_table

_PLAIN = re.compile(r"[a-z0-9_.]+")  # a value, and not words about one


class Row(NamedTuple):
    """One variable as it takes effect, fit to be shown."""

    variable: str
    value: str
    source: str


@click.command(name="env")
@click.option("--example", is_flag=True, help="Print a file with every variable, explained, to fill in.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def command(example: bool, as_json: bool) -> None:
    """Show every variable with the value that takes effect and where that comes from; secrets are not shown."""
    if example:
        click.echo(example_file(), nl=False)
        return
    rows = effective(os.environ)
    if as_json:
        print_json(settings=[{"variable": row.variable, "value": row.value, "from": row.source} for row in rows])
        return
    print_table(("VARIABLE", "VALUE", "FROM"), rows)


def effective(environ: Mapping[str, str]) -> list[Row]:
    """Every setting; raises `Misconfigured` where they are wrong."""
    from relay.environ import is_secret, load, variable_of
    from relay.settings import Settings

    settings = load(secret=False, environ=environ)
    rows = []
    for name in Settings.model_fields:
        variable = variable_of(name)
        path = environ.get(f"{variable}_FILE") if is_secret(name) else None
        source = "environment" if environ.get(variable) else f"file {path}" if path else "default"
        rows.append(Row(variable, shown(name, getattr(settings, name)), source))
    return rows


def shown(name: str, value: object) -> str:
    """A value for people's eyes."""
    from relay.rules.tokens import Secrets
    from relay.urls import masked

    if name == "secret":
        return f"fingerprints {', '.join(Secrets.parse(str(value)).ids)}" if value else ""
    if name in ("redis_url", "database_url"):
        return masked(str(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def example_file() -> str:
    """Every variable, commented out unless it is required, in the form that systemd, Docker and shells read."""
    from relay.environ import variables

    lines = ["# Settings of a Relay node. `relay config check` says what is wrong with them.", ""]
    for each in variables():
        lines.append(f"# {each.meaning[:1].upper()}{each.meaning[1:]} ({each.unit}; default: {each.default}).")
        required = each.default == "required"
        value = each.default if _PLAIN.fullmatch(each.default) and not required and each.default != "none" else ""
        lines += [f"{'' if required else '#'}{each.name}={value}", ""]
    return "\n".join(lines)
