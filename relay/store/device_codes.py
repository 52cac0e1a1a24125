"""Remembers device sign-ins (RFC 8628) between the terminal that waits and the person who approves."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from redis.asyncio import Redis

from relay.store.keys import Keys

POLL_SECONDS = 5.0  # RFC 8628's default interval; each poll that comes sooner adds as much again


class Waiting(Struct, frozen=True):
    """Nobody approved yet; `slow-down`: and you ask too often, wait `interval_seconds` between polls."""

    reason: Literal["authorization-pending", "slow-down"]
    interval_seconds: float


class Approved(Struct, frozen=True):
    """Somebody approved; told exactly once."""

    person: str


class Ended(Struct, frozen=True):
    """The sign-in was denied, or is unknown, used or too old."""

    reason: Literal["denied", "expired"]


class DeviceCodes:
    """Device sign-ins of the last ten minutes, stored by digest only. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def begin(self, device_code: str, user_code: str, client: str = "") -> bool:
        """Start waiting; False when the user code is in use and another must be drawn. `client` is shown to the person."""
        raise NotImplementedError

    async def client(self, user_code: str) -> str | None:
        """What asks to be signed in under this user code; None when nothing waits under it."""
        raise NotImplementedError

    async def approve(self, user_code: str, person: str) -> bool:
        """Sign the device in as this person; False when nothing waits under the code."""
        raise NotImplementedError

    async def deny(self, user_code: str) -> bool:
        """Refuse the device; False when nothing waits under the code."""
        raise NotImplementedError

    async def poll(self, device_code: str) -> Waiting | Approved | Ended:
        """What the waiting device is told."""
        raise NotImplementedError
