"""Finds the keys that leave a terminal in what a person types: `~.` at the start of a line, and Ctrl-]."""

from __future__ import annotations

LEAVE_KEY = 0x1D  # Ctrl-]
_TILDE, _DOT, _RETURN, _NEWLINE = b"~.\r\n"


class EscapeKeys:
    """Passes keystrokes on, holding back a tilde at the start of a line until the next key says what it means."""

    def __init__(self) -> None:
        self._line_start = True
        self._tilde = False

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to send on, and whether the person leaves; `~~` sends one tilde."""
        sent = bytearray()
        for key in typed:
            if key == LEAVE_KEY:
                return bytes(sent), True
            if self._tilde:
                self._tilde = False
                if key == _DOT:
                    return bytes(sent), True
                sent.append(_TILDE)
                if key == _TILDE:
                    self._line_start = False
                    continue
            elif self._line_start and key == _TILDE:
                self._tilde = True
                continue
            sent.append(key)
            self._line_start = key in (_RETURN, _NEWLINE)
        return bytes(sent), False
