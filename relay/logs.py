"""Sets up how a process of the cluster writes its log: one line per event on standard error, as JSON or as text."""

from __future__ import annotations

import logging
import sys

import structlog

from relay.settings import Settings


def configure_logs(settings: Settings) -> None:
    """From now on events are written as the settings say; nothing of a frame or a secret is ever an event."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    text = settings.log_format == "text"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False) if text else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
