"""Names how often one client may try what needs no credential yet, and turns the eager away."""

from __future__ import annotations

import math

from relay.errors import LimitReached
from relay.store import Rate, Rates

# Secrets hold 190 bits and need no protection from guessing; registry and Redis need it from the guessers.
SIGN_IN = Rate("sign-in", burst=20, per_second=0.5)
DEVICE = Rate("device", burst=20, per_second=0.5)
POLL = Rate("device-token", burst=60, per_second=10.0)  # an office of fifty waiting terminals behind one address
# A user code is short enough to be typed, so guesses at one are counted by person, who has signed in for it.
APPROVE = Rate("device-approve", burst=10, per_second=0.1)
INVITE = Rate("invitation", burst=60, per_second=0.5)


async def take(rates: Rates, rate: Rate, subject: str) -> None:
    """Counts one attempt; raises `LimitReached` saying when the next may come."""
    wait_seconds = await rates.take(rate, subject)
    if wait_seconds > 0:
        seconds = math.ceil(wait_seconds)
        raise LimitReached(f"too many attempts: try again in {seconds} s", limit=rate.name, retryAfterSeconds=seconds)
