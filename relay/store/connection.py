"""Opens the cluster's Redis from its URL, with bounded connections and bounded waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Redis = Any


async def connect(url: str) -> Redis:
    """A client with a bounded, blocking pool for redis, rediss, unix or redis+sentinel; raises `Misconfigured` for other
    schemes and malformed URLs. It connects lazily: an unreachable Redis shows at the first command."""
    raise NotImplementedError


@contextmanager
def answering() -> Iterator[None]:
    """Turns what redis-py raises when Redis does not answer, or cannot write now, into `Unavailable`."""
    raise NotImplementedError
    yield
