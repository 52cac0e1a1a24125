"""Adds up how long a node that drains may take at the most, for whoever would kill it, and lists what it is told."""

from __future__ import annotations

import re
from pathlib import Path

from relay.app import PARTING_SECONDS
from relay.dev import crew
from relay.environ import variables
from relay.node import drain
from relay.web.server import HTTP_GRACE_SECONDS

# To begin with, for whoever does not leave when asked, for answers under way, and for what is left to be told.
AFTER_SECONDS = drain.TELL_SECONDS + drain.PARTING_SECONDS + HTTP_GRACE_SECONDS + PARTING_SECONDS
VARIABLES = frozenset(variable.name for variable in variables())  # all that a node knows, `…_FILE` included
_IMAGE = (Path(__file__).parents[2] / "deploy" / "Dockerfile").read_text()
IN_THE_IMAGE = dict(re.findall(r"(?m)^(?:ENV| +)\s*(RELAY_[A-Z_]+)=(\S+)", _IMAGE))  # what a container of ours has


def enough(grace_seconds: float, drain_seconds: float, before_seconds: float = 0.0) -> bool:
    """Whether a node that drains for so long, and is asked to so much later than its time begins, ends in time; and of
    several that a crew keeps, the one that does not end at all is killed by the crew, which says so."""
    return grace_seconds > before_seconds + drain_seconds + max(AFTER_SECONDS, crew.PARTING_SECONDS)
