"""Remembers tokens that nobody has, and which addresses tried too many of them, so that guessing costs no look-ups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from relay.errors import BadToken, LimitReached
from relay.rules.limits import UNKNOWN_TOKENS, UNKNOWN_TOKENS_PER_SECOND

REMEMBERED = 10_000  # tokens, and addresses; about 2 MiB of each. Beyond it the least recently seen is forgotten
REMEMBERED_MS = 60_000  # a token is tried again after that: a registry that was restored may know it
UNKNOWN = "this token is unknown, ended or expired"

Kept = TypeVar("Kept")
Source = Callable[[], str]  # the address that a token came from, asked only when it matters


def nowhere() -> str:
    """Where claims come from that a node made itself, such as those of tickets."""
    return ""


class Strangers:
    """Nobody presents a token before it is made, so one that was unknown stays so: there is nothing to hear of."""

    def __init__(self, limited: Callable[[str], None]) -> None:
        self._limited = limited  # counts the times that somebody was turned away
        self._tokens: OrderedDict[str, int] = OrderedDict()  # by hash: until when it is believed
        self._levels: OrderedDict[str, tuple[float, int]] = OrderedDict()  # by address: what it may try, as of when

    def turn_away(self, key: str, source: Source, now_ms: int) -> None:
        """To be called before the registry is asked about a token. Raises `BadToken` if nobody has it, `LimitReached`
        if its source has tried too many such."""
        if now_ms < self._tokens.get(key, 0):
            raise BadToken(UNKNOWN)
        if self._level(source(), now_ms) < 1:
            self._limited("UNKNOWN_TOKENS")
            text = "too many tokens that nobody has came from your address: try again in a second"
            raise LimitReached(text, limit="UNKNOWN_TOKENS", retryAfterSeconds=1)

    def tried(self, key: str, source: Source, now_ms: int, *, for_certain: bool) -> None:
        """The registry knows nobody by this token; not `for_certain` when something changed while it was asked."""
        if for_certain:
            _keep(self._tokens, key, now_ms + REMEMBERED_MS)
        address = source()
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
