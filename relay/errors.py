"""Names every error that a peer can be told, with its HTTP status, close code and CLI exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Close(IntEnum):
    """WebSocket close codes: 4000-4099 are final, 4100-4199 say back off, 4200-4299 say come back soon."""

    NORMAL = 1000
    GOING_AWAY = 1001
    BAD_UTF8 = 1007
    TOO_BIG = 1009
    INTERNAL = 1011
    MACHINE_REVOKED = 4001
    BAD_TOKEN = 4002
    FORBIDDEN = 4003
    REPLACED = 4004
    PROTOCOL_ERROR = 4005
    UNSUPPORTED_VERSION = 4006
    OVER_CAPACITY = 4100
    RATE_LIMITED = 4101
    SLOW_CONSUMER = 4102
    UNAVAILABLE = 4103
    DRAINING = 4200
    NO_PONG = 4201
    BUS_GAP = 4202
    KICKED = 4203

    @property
    def reason(self) -> str:
        """The short word that travels with the code."""
        return self.name.lower().replace("_", "-")

    @property
    def final(self) -> bool:
        """Whether the peer must not come back by itself."""
        return 4000 <= self < 4100

    @property
    def back_off(self) -> bool:
        """Whether the peer should come back, but later than it would have."""
        return 4100 <= self < 4200


class Exit(IntEnum):
    """Exit codes of the CLI for failures of our own; a remote command's own code is passed on as it is."""

    OK = 0
    FAILURE = 1
    USAGE = 64
    AMBIGUOUS = 65
    NOT_FOUND = 66
    OFFLINE = 69
    UNAVAILABLE = 75
    REPLACED = 76
    DENIED = 77
    CONFIGURATION = 78
    TIMED_OUT = 124


class RelayError(Exception):
    """Something the world did that a peer is told: a stable code, a sentence, and extra fields for programs."""

    code = "internal"
    status = 500
    close = Close.INTERNAL
    exit = Exit.UNAVAILABLE

    def __init__(self, message: str = "", /, **extra: Any) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The same fields wherever the error is shown: problem+json, a control error, or `--json` output."""
        return {"code": self.code, "message": self.message, **self.extra}


class Invalid(RelayError):
    """The request cannot be understood; repeating it will not help."""

    code, status, close, exit = "invalid", 400, Close.PROTOCOL_ERROR, Exit.USAGE


class TooShort(Invalid):
    """A machine query of one character that is nobody's exact name."""

    code = "too-short"


class WorkspaceRequired(Invalid):
    """The caller has several workspaces and named none."""

    code = "workspace-required"


class TooBig(RelayError):
    """A body, frame or message passes its limit."""

    code, status, close, exit = "too-big", 413, Close.TOO_BIG, Exit.USAGE


class BadToken(RelayError):
    """The credential is unknown, expired, signed out or malformed."""

    code, status, close, exit = "bad-token", 401, Close.BAD_TOKEN, Exit.DENIED


class Forbidden(RelayError):
    """The credential is good and does not allow this."""

    code, status, close, exit = "forbidden", 403, Close.FORBIDDEN, Exit.DENIED


class NotFound(RelayError):
    """Nothing by that id or name that the caller may see; the same words for unknown, foreign and invisible."""

    code, status, close, exit = "not-found", 404, Close.FORBIDDEN, Exit.NOT_FOUND


class Ambiguous(RelayError):
    """A query matches several machines; `candidates` names at most ten."""

    code, status, exit = "ambiguous", 409, Exit.AMBIGUOUS


class Conflict(RelayError):
    """The change contradicts what is stored."""

    code, status, exit = "conflict", 409, Exit.FAILURE


class NameTaken(Conflict):
    """Another machine in the same scope holds the name."""

    code = "name-taken"


class MachineRevoked(RelayError):
    """The machine's registration was taken away and nobody asked to register again."""

    code, status, close, exit = "machine-revoked", 410, Close.MACHINE_REVOKED, Exit.DENIED


class Gone(RelayError):
    """A one-time link or code was used already, or its time is over."""

    code, status, exit = "expired", 410, Exit.DENIED


class Offline(RelayError):
    """The machine resolves but is not there; `lastSeenAt` says since when."""

    code, status, exit = "offline", 409, Exit.OFFLINE


class Unavailable(RelayError):
    """A part of the relay that this needs does not answer now; trying again may help."""

    code, status, close, exit = "unavailable", 503, Close.UNAVAILABLE, Exit.UNAVAILABLE


class RegistryUnavailable(Unavailable):
    """The registry does not answer, is full or takes no writes; asking again may help, and will not do a thing twice
    that names what it changes."""

    code = "registry-unavailable"


class Contested(Unavailable):
    """Several installations that claim one machine took it from each other too often; the one that has it keeps it."""

    code, close = "contested", Close.OVER_CAPACITY


class TimedOut(RelayError):
    """The machine took the request and did not answer in time."""

    code, status, exit = "timed-out", 504, Exit.TIMED_OUT


class LimitReached(RelayError):
    """A named limit is reached; `limit` names it."""

    code, status, close, exit = "limit-reached", 429, Close.RATE_LIMITED, Exit.UNAVAILABLE


class Replaced(RelayError):
    """Another instance of this machine took over."""

    code, status, close, exit = "replaced", 409, Close.REPLACED, Exit.REPLACED


class UnsupportedVersion(RelayError):
    """The peer speaks no subprotocol that we speak."""

    code, status, close, exit = "unsupported-version", 400, Close.UNSUPPORTED_VERSION, Exit.CONFIGURATION


class UnknownHost(RelayError):
    """The `Host` header names none of this cluster's addresses."""

    code, status, exit = "unknown-host", 421, Exit.CONFIGURATION


class MethodNotAllowed(RelayError):
    """The path exists and does not take this method."""

    code, status, exit = "method-not-allowed", 405, Exit.USAGE


class UnsupportedMedia(RelayError):
    """The body is not declared as `application/json`."""

    code, status, exit = "unsupported-media-type", 415, Exit.USAGE


class AuthorizationPending(RelayError):
    """Nobody has approved the device code yet; ask again after its interval."""

    code, status, exit = "authorization-pending", 400, Exit.DENIED


class SlowDown(RelayError):
    """The device code was asked for too soon; add five seconds to the interval."""

    code, status, exit = "slow-down", 429, Exit.DENIED


class Misconfigured(RelayError):
    """A setting is wrong or contradicts another; the sentence names it and what was expected."""

    code, exit = "configuration", Exit.CONFIGURATION


def from_body(body: dict[str, Any]) -> RelayError:
    """The error that a peer sent us, as the class with the same code, or a plain `RelayError` for unknown codes."""
    code = str(body.get("code", "internal"))
    extra = {name: value for name, value in body.items() if name not in {"code", "message", "type", "ref"}}
    error = _BY_CODE.get(code, RelayError)(str(body.get("message", code)), **extra)
    if error.code != code:
        error.code = code
    return error


def _family(base: type[RelayError]) -> dict[str, type[RelayError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found.update(_family(child))
    return found


_BY_CODE = _family(RelayError)
