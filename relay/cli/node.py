"""Commands one node: `relay node`."""

from __future__ import annotations

import click


class Documented(click.Command):
    """A command whose help ends with every variable that its settings know."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from relay.settings import variables

        with formatter.section("Variables"):
            for variable in variables():
                formatter.write_text(f"{variable.name} (default: {variable.default}; {variable.unit})")
                with formatter.indentation():
                    formatter.write_text(variable.meaning)


@click.command(name="node", cls=Documented)
def command() -> None:
    """Run one stateless node until SIGTERM, which drains it first."""
    from relay.process import serve
    from relay.settings import load

    serve(load())
