"""Says what an agent is told that is not let in, in a close code that its version knows."""

from __future__ import annotations

from relay.errors import Close, Contested, MachineRevoked, RelayError, Replaced, Unavailable
from relay.store import Refused


def refusal(answer: Refused) -> RelayError:
    """What Redis' answer to a hello means to the agent."""
    match answer.reason:
        case "revoked":
            return MachineRevoked("this machine was revoked")
        case "replaced":
            return Replaced("another instance of this machine took over")
        case "rate-limited":
            return Contested("too many changes of owner")
        case "mirror-behind":
            return Unavailable("revocations are being loaded")


def of_old(error: Unavailable) -> Unavailable:
    """The same for an agent that knows 4100 alone, which came before 4103: after any other code it may stay away for
    longer than its machine's grace, and its machine would be said to be offline for our trouble."""
    told = Unavailable(error.message)  # another one, for others may wait for the same answer
    told.code, told.close = error.code, Close.OVER_CAPACITY
    return told
