"""Decides what the agent does after its connection ended, or was refused: leave, park, or come back."""

from __future__ import annotations

from typing import NamedTuple

from relay.client.ends import Closed, ClosedForGood
from relay.errors import BadToken, Close, Exit, Forbidden, MachineRevoked, Misconfigured, RelayError, UnsupportedVersion

AGAIN = "the server refused this machine's registration; run `relay login`, then `relay serve --register-again`"


class Leave(NamedTuple):
    """End, with this exit code and this line for the person; `revoked` also forgets the machine's token."""

    exit: Exit
    line: str
    revoked: bool = False


class Park(NamedTuple):
    """Stay up without a connection and say why; when told to stop, exit with `Exit.REPLACED`."""

    line: str


class Return(NamedTuple):
    """Dial again after the back-off."""


Verdict = Leave | Park | Return

_REVOKED = Leave(
    Exit.OK,
    "this machine was revoked; its registration is deleted (to come back: `relay serve --register-again`)",
    True,
)
_REPLACED = Park("another instance of this machine took over; this one waits until it is stopped")
_BY_CLOSE: dict[int, Verdict] = {
    Close.MACHINE_REVOKED: _REVOKED,
    Close.BAD_TOKEN: Leave(Exit.DENIED, AGAIN),
    Close.FORBIDDEN: Leave(Exit.DENIED, "this machine may not connect to the relay any more"),
    Close.REPLACED: _REPLACED,
    Close.PROTOCOL_ERROR: Leave(Exit.FAILURE, "the relay did not understand this agent; upgrade one of the two"),
    Close.UNSUPPORTED_VERSION: Leave(Exit.CONFIGURATION, "the relay does not speak this version; upgrade relay here"),
}


def judge(end: RelayError) -> Verdict:
    """What to do about an end of the connection, or about a refusal to connect or to register."""
    if isinstance(end, ClosedForGood):
        # 1007 and 1009 keep their standard codes and are about one message, which a new connection does not repeat.
        return _BY_CLOSE.get(end.close_code, Return() if end.close_code < 4000 else Leave(Exit.FAILURE, end.message))
    if isinstance(end, Closed):
        return Return()
    match end:
        case MachineRevoked():
            return _REVOKED
        case BadToken():
            return Leave(Exit.DENIED, AGAIN)
        case Forbidden():
            return Leave(Exit.DENIED, f"the relay refuses this machine: {end.message}")
        case UnsupportedVersion():
            return Leave(Exit.CONFIGURATION, f"the relay does not speak this version: {end.message}")
        case Misconfigured():
            return Leave(Exit.CONFIGURATION, end.message)
        case _:
            return Return()
