"""Reads the settings of a command for operators, and leaves to the command what is said of what fails."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

from relay.cli import ALONE


def told(uses: Collection[str] | None = None) -> Any:
    """The settings that the command uses; raises `Misconfigured`."""
    from relay.environ import load

    only_errors()
    return load(uses)


def only_errors() -> None:
    """Let what the command shares with nodes log nothing but mistakes of ours, and those to stderr: standard output is
    the command's, and it says in a line of its own what does not answer. Only in a process that has nothing else to
    do."""
    context = click.get_current_context(silent=True)
    if context is None or context.find_root().obj is not ALONE:
        return
    import logging
    import sys

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
