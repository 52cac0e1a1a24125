"""Remembers tokens that nobody has, and which addresses tried too many of them, so that guessing costs few look-ups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from relay.errors import BadToken, LimitReached
from relay.rules.limits import UNKNOWN_TOKENS, UNKNOWN_TOKENS_AT_ONCE, UNKNOWN_TOKENS_PER_SECOND

REMEMBERED = 10_000  # tokens, and addresses; about 2 MiB of each. Beyond it the least recently seen is forgotten
REMEMBERED_MS = 60_000  # a token is tried again after that: a registry that was restored may know it
UNKNOWN = "this token is unknown, ended or expired"

Kept = TypeVar("Kept")
Source = Callable[[], str]  # the address that a token came from, asked only when it matters


def nowhere() -> str:
    """Where claims come from that a node made itself, such as those of tickets. Nobody can make one up, and many may
    end at once: none is counted."""
    return ""


class Strangers:
    """Nobody presents a token before it is made, so one that was unknown stays so: there is nothing to hear of."""

    def __init__(self, limited: Callable[[str], None]) -> None:
        self._limited = limited  # counts the times that somebody was turned away
        self._tokens: OrderedDict[str, int] = OrderedDict()  # by hash: until when it is believed
        self._levels: OrderedDict[str, tuple[float, int]] = OrderedDict()  # by address: what it may try, as of when
        self._late = 0  # being looked up for addresses that may try no more, of all of them together

    @contextmanager
    def looking(self, key: str, source: Source, now_ms: int) -> Iterator[None]:
        """To be entered while the registry is asked about a token. Raises `BadToken` if nobody has it, `LimitReached`
        if its source has tried too many such and others of the kind are being looked up.

        Behind a proxy that is not trusted all clients share one address: who has a sound token gets in between."""
        if now_ms < self._tokens.get(key, 0):
            raise BadToken(UNKNOWN)
        address = source()
        if not address or self._level(address, now_ms) >= 1:
            yield
            return
        if self._late >= UNKNOWN_TOKENS_AT_ONCE:
            self._limited("UNKNOWN_TOKENS")
            text = "too many tokens that nobody has came from your address: try again in a second"
            raise LimitReached(text, limit="UNKNOWN_TOKENS", retryAfterSeconds=1)
        self._late += 1
        try:
            yield
        finally:
            self._late -= 1

    def tried(self, key: str, source: Source, now_ms: int, *, for_certain: bool) -> None:
        """The registry knows nobody by this token; not `for_certain` when something changed while it was asked."""
        if for_certain:
            _keep(self._tokens, key, now_ms + REMEMBERED_MS)
        address = source()
        if address:
            _keep(self._levels, address, (self._level(address, now_ms) - 1, now_ms))

    def forget(self) -> None:
        """Something changed that may make a token known."""
        self._tokens.clear()

    def _level(self, address: str, now_ms: int) -> float:
        level, at_ms = self._levels.get(address, (float(UNKNOWN_TOKENS), now_ms))
        return min(UNKNOWN_TOKENS, max(level, 0.0) + max(0, now_ms - at_ms) / 1000 * UNKNOWN_TOKENS_PER_SECOND)


def _keep(kept: OrderedDict[str, Kept], key: str, value: Kept) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
