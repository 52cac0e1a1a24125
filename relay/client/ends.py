"""Names every way in which a socket, or the search for one, can end, and says which of them to come back after."""

from __future__ import annotations

from relay import errors
from relay.errors import Close, RelayError, Unavailable

NO_CLOSE_FRAME = 1006  # what the WebSocket standard calls a socket that ended without a word


class Closed(Unavailable):
    """The socket ended; `close_code` and `close_reason` are the peer's, 1006 when it said nothing."""

    def __init__(self, close_code: int, close_reason: str = "") -> None:
        super().__init__(f"the relay closed the connection: {close_code} {close_reason}".rstrip())
        self.close_code = close_code
        self.close_reason = close_reason


class ClosedForGood(Closed):
    """4000-4099, 1007 or 1009: coming back by itself would only repeat it."""

    def as_error(self) -> RelayError:
        """The error of the same meaning, whose exit code a command passes on."""
        kind = _BY_CLOSE.get(self.close_code, errors.Invalid)
        return kind(_SENTENCES.get(self.close_code, self.message))


class ClosedBackOff(Closed):
    """4100-4199: come back, but later than you would have."""


class ClosedSoon(Closed):
    """4200-4299 and every end without a code of ours, such as a lost network: come back within seconds and resume."""


class Unreachable(Unavailable):
    """No node of the list could be reached; the sentence says what each of them answered."""


class Shed(Unreachable):
    """No node of the list took us, and `node` gave us a turn in `again_seconds`, sooner than any other that did."""

    def __init__(self, message: str, node: str, again_seconds: float) -> None:
        super().__init__(message)
        self.node = node
        self.again_seconds = again_seconds


def end_of(code: int | None, reason: str = "") -> Closed:
    """The end of a socket as the class that says whether to come back."""
    if code is None:
        return ClosedSoon(NO_CLOSE_FRAME, reason)
    if 4000 <= code < 4100 or code in (Close.BAD_UTF8, Close.TOO_BIG):
        return ClosedForGood(code, reason)
    if 4100 <= code < 4200:
        return ClosedBackOff(code, reason)
    return ClosedSoon(code, reason)


_BY_CLOSE: dict[int, type[RelayError]] = {
    Close.MACHINE_REVOKED: errors.MachineRevoked,
    Close.BAD_TOKEN: errors.BadToken,
    Close.FORBIDDEN: errors.Forbidden,
    Close.REPLACED: errors.Replaced,
    Close.PROTOCOL_ERROR: errors.Invalid,
    Close.UNSUPPORTED_VERSION: errors.UnsupportedVersion,
    Close.TOO_BIG: errors.TooBig,
}
_SENTENCES: dict[int, str] = {
    Close.MACHINE_REVOKED: "this machine was revoked",
    Close.BAD_TOKEN: "this sign-in is not valid any more: run `relay login`",
    Close.FORBIDDEN: "your access was taken away",
    Close.REPLACED: "another instance of this machine took over",
    Close.UNSUPPORTED_VERSION: "the relay does not speak this version: upgrade relay",
}
