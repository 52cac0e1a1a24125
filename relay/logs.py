"""Sets up how a process of the cluster writes its log: one line per event on standard error, as JSON or as text."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict

from relay.rules.quoting import escape, escape_lines
from relay.settings import Settings

_OF_LINES = frozenset({"exception", "stack", "traceback"})  # several lines by nature


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
            *(
                [_harmless, structlog.dev.ConsoleRenderer(colors=False)]
                if text
                else [structlog.processors.JSONRenderer()]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Harmless(logging.Formatter):
    """What libraries log, which may repeat what a peer sent."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or the lines of a traceback."""
        return escape_lines(super().format(record))


def _harmless(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Let nothing that a peer chose begin a line of its own or steer the terminal of whoever reads the log."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = (escape_lines if name in _OF_LINES else escape)(value)
    return event
