"""Imports what a program that stays needs, for three quarters of what it costs otherwise.

A node imports about a thousand modules before it says that it is ready, and each start of one by a supervisor pays for
them again. Two things of that are for nothing, and `importing` leaves them out.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It would colour the tracebacks of developers, where it is installed: structlog looks for it when it is imported, and
# does without where it is not. With what it imports itself it is a quarter of what an agent imports.
COLORS = "rich"


@contextmanager
def importing() -> Iterator[None]:
    """Let what is imported meanwhile neither be searched for garbage, of which imports make none and the collector's
    looks an eighth of the time, nor bring the colors of structlog's tracebacks along."""
    collected = gc.isenabled()
    hidden = COLORS not in sys.modules
    gc.disable()
    if hidden:
        sys.modules[COLORS] = None  # type: ignore[assignment]  # how Python notes that there is no such module
    try:
        yield
    finally:
        if hidden:
            del sys.modules[COLORS]
        if collected:
            gc.enable()
