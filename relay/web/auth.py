"""Finds out who is asking: credentials from headers and cookies, and a bounded memory of the identities found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from relay.rules.access import Identity

COOKIE = "relay_session"


class Authenticator:
    """Turns a token into an `Identity`, asking the registry only for tokens that it has not seen lately."""

    def __init__(self, registry: Any, secrets: Any, clock: Callable[[], int]) -> None: ...

    async def identity(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Identity:
        """Who sent a request, by its bearer token or else its cookie; raises `BadToken`."""
        raise NotImplementedError

    async def by_token(self, token: str) -> Identity:
        """Who holds this token (team, personal, CLI or browser sign-in); raises `BadToken`."""
        raise NotImplementedError

    def claim(self, token: str) -> str:
        """A text without secrets that finds the token's identity again; what a ticket carries."""
        raise NotImplementedError

    async def by_claim(self, claim: str) -> Identity:
        """Who made the claim, as of now; raises `BadToken` if the credential ended since."""
        raise NotImplementedError

    def forget(self, subject: str) -> None:
        """Drops what is remembered of a credential, person or workspace, because its access changed."""

    def clear(self) -> None:
        """Drops everything remembered, because changes may have been missed."""
