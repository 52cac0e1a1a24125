"""Tells a database that does not answer from a mistake of ours, and says the first in one way to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import exc

from relay.errors import Misconfigured, RegistryUnavailable

LOST_RACES = frozenset({"40001", "40P01"})  # serialization failure, deadlock detected
NOT_ALLOWED = "42501"  # this user may do less than the tables' owner
READ_ONLY = "25006"  # a standby, or a server that was told to take no writes
BUSY = "the registry is busy"
AWAY = "the registry does not answer"
WORDS = {
    READ_ONLY: "the registry takes no writes now",
    "53100": "the registry's disk is full",
    "55P03": BUSY,  # somebody held a lock for too long
    "53300": "the registry has too many connections",
}
SQLITE_WORDS = (("is full", "53100"), ("readonly", READ_ONLY))  # SQLite says it in English only


class BeginAgain(RegistryUnavailable):
    """This transaction changed nothing, and may be begun again: another went first, or its connection was lost."""


@contextmanager
def answering(*, uncommitted: bool = False) -> Iterator[None]:
    """Turns the many ways in which a database does not answer into `RegistryUnavailable`, and leaves our own bugs
    alone. `uncommitted`: what is inside does not commit, so that a lost connection has done nothing."""
    try:
        yield
    except Exception as error:
        if not _is_failure(error):
            raise
        lost = uncommitted and isinstance(error, exc.DBAPIError) and error.connection_invalidated
        if lost or sqlstate(error) in LOST_RACES:
            raise BeginAgain(AWAY if lost else BUSY) from error
        words = WORDS.get(sqlstate(error) or "", AWAY)
        structlog.get_logger().warning(words, error=type(getattr(error, "orig", None) or error).__name__)
        raise RegistryUnavailable(words) from error


@contextmanager
def as_owner(doing: str) -> Iterator[None]:
    """Says in one line who may do what the runtime's user may not; raises `Misconfigured` for it."""
    try:
        yield
    except exc.ProgrammingError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise
        raise Misconfigured(
            f"the user of RELAY_DATABASE_URL may not {doing}: do it with the name of the tables' owner"
        ) from None


def sqlstate(error: BaseException) -> str | None:
    """What happened, as PostgreSQL numbers it."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None)
    if state is None and isinstance(error, exc.OperationalError):
        return next((state for words, state in SQLITE_WORDS if words in str(original)), None)
    return state if isinstance(state, str) else None


def _is_failure(error: BaseException) -> bool:
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return False
    if isinstance(error, exc.DBAPIError | exc.TimeoutError | OSError | TimeoutError):
        return True
    # Refusals during connecting (no such database, too many clients) arrive as the driver's own classes.
    return type(error).__module__.partition(".")[0] == "asyncpg"
