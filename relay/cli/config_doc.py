"""Commands the documentation of all settings: `relay config doc`."""

from __future__ import annotations

import click

HEAD = """# Settings

Nodes and sweepers read these variables once, when they start; commands under `relay admin` and `relay node` read the
same ones. A variable that is not in this table is refused by all of them, and a wrong value by those that use it, so
one file may serve them all. How often things are done is no setting of a process: `relay admin timing` shows it, and
changes it for a whole cluster. This page is what `relay config doc` prints.

| variable | default | unit | meaning |
|---|---|---|---|
"""


@click.command(name="doc")
def command() -> None:
    """Print a Markdown table of all settings, as it is in deploy/SETTINGS.md."""
    click.echo(page(), nl=False)


def page() -> str:
    """The whole page."""
    from relay.environ import variables

    rows = [
        f"| `{each.name}` | {_cell(each.default)} | {_cell(each.unit)} | {_cell(each.meaning)} |"
        for each in variables()
    ]
    return HEAD + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
