"""Commands the agent on this machine: `relay serve`."""

from __future__ import annotations

import click

from relay.cli.lean import importing
from relay.rules.quoting import escape, escape_lines

Labels = tuple[tuple[str, str], ...]


def _labels(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = []
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not of the form K=V")
        pairs.append((key, value))
    return tuple(pairs)


@click.command(name="serve")
@click.option("--name", help="The machine's name.  [default: the one it has, else its hostname]")
@click.option("--private", is_flag=True, help="Only you see it.")
@click.option("--ephemeral", is_flag=True, help="Remove the machine when the agent is stopped.")
@click.option("--register-again", is_flag=True, help="Register anew, also after the machine was revoked.")
@click.option("--url", help="The relay, or several of its nodes.  [default: RELAY_URL, else your login's]")
@click.option("--label", "labels", multiple=True, metavar="K=V", callback=_labels, help="A label; may be repeated.")
def serve(
    name: str | None,
    private: bool,
    ephemeral: bool,
    register_again: bool,
    url: str | None,
    labels: Labels,
) -> int:
    """Serve this machine: make it reachable through the relay until you stop it with Ctrl-C.

    The first start registers the machine, with your login or with the workspace key in RELAY_TOKEN.
    """
    with importing():
        import asyncio

        from relay.agent.registration import Wish
        from relay.agent.startup import find_place, serve_until_stopped

    _log_for_people()
    wish = Wish(name, private, labels, ephemeral, register_again)
    leave = asyncio.run(serve_until_stopped(find_place(url), wish))
    click.echo(f"relay: {escape(leave.line)}", err=True)
    return int(leave.exit)


def _log_for_people() -> None:
    """One line per event, on standard error: the time, what happened, and the details."""
    import sys

    import structlog

    def line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        trouble = event.pop("exception", None)
        what, when = event.pop("event"), event.pop("at")
        details = "  ".join(f"{key}={escape(str(value))}" for key, value in event.items() if value is not None)
        return (
            f"{when}  {escape(what)}"
            + (f"  {details}" if details else "")
            + (f"\n{escape_lines(trouble)}" if trouble else "")
        )

    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="at"),
            structlog.processors.format_exc_info,
            line,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


command = serve
