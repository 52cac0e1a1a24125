"""Finds where each message of a Redis connection ends, so that a proxy can keep some back without breaking the rest."""

from __future__ import annotations

import re

_BULK, _LISTS, _MAP, _ATTRIBUTE = b"$=!", b"*~>", b"%", b"|"
_END = b"\r\n"
# What Redis says to subscribers, in RESP3 and in RESP2; confirmations of a subscription are not among it.
_PUSHED = re.compile(rb"[>*]\d+\r\n\$\d+\r\n[ps]?message\r\n")


class Resp:
    """One direction of one connection: bytes go in, whole messages come out, byte for byte as they came."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # so far the message that is under way is known
        self._open = 1  # elements that it still lacks

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that end in this piece."""
        self._buffer += data
        whole = []
        while self._element():
            if self._open == 0:
                whole.append(bytes(self._buffer[: self._at]))
                del self._buffer[: self._at]
                self._at, self._open = 0, 1
        return whole

    def _element(self) -> bool:
        """Pass over one element, if all of it is here."""
        end = self._buffer.find(_END, self._at)
        if end < 0:
            return False
        kind = bytes(self._buffer[self._at : self._at + 1])
        after, inside = end + len(_END), 0
        if kind in _BULK + _LISTS + _MAP + _ATTRIBUTE:
            count = max(int(self._buffer[self._at + 1 : end]), -1)
            if kind in _BULK and count >= 0:
                after += count + len(_END)
            elif kind in _LISTS:
                inside = max(count, 0)
            elif kind in _MAP + _ATTRIBUTE:
                inside = 2 * count + (kind == _ATTRIBUTE)  # an attribute stands before what it is about
        if after > len(self._buffer):
            return False
        self._at = after
        self._open += inside - 1
        return True


def is_pushed(message: bytes) -> bool:
    """Whether this is what somebody published, on its way to a subscriber."""
    return _PUSHED.match(message) is not None
