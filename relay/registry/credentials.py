"""Keeps sign-ins and personal tokens as hashes, and finds who is behind any credential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.rules.access import Identity


class NewSignIn(Struct, frozen=True):
    """A sign-in that is about to be stored: a browser's cookie ("web") or a CLI's token ("cli")."""

    kind: Literal["web", "cli"]
    hash: str  # "SECRETID:HEX"
    name: str  # what the person will recognise it by: browser or host
    expires_ms: int


class Credential(Struct, frozen=True, kw_only=True):
    """A sign-in ("web", "cli") or a personal token ("pat") as its person sees it; the hash stays here."""

    id: str
    kind: Literal["web", "cli", "pat"]
    person: str
    name: str
    created_ms: int
    expires_ms: int | None  # None: until revoked


class Credentials:
    """Everything that proves who is asking, workspace keys included when it comes to finding."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, hashes: Sequence[str], now_ms: int) -> Identity | None:
        """Who is behind a token, given its hash under each secret; None if unknown, ended or expired. A key is a
        member of its workspace; a person has all their workspaces and roles. One query."""
        raise NotImplementedError

    async def sign_in(self, person: str, sign_in: NewSignIn, now_ms: int) -> Credential:
        """Store a sign-in of a person (device flow); raises `NotFound` for an unknown person."""
        raise NotImplementedError

    async def create_token(
        self, person: str, hash: str, name: str, expires_ms: int | None, actor: Actor, now_ms: int
    ) -> Credential:
        """Store a personal token; it may outlive the sign-in that made it."""
        raise NotImplementedError

    async def sign_ins(self, person: str, now_ms: int) -> list[Credential]:
        """A person's current browsers and CLIs, newest first."""
        raise NotImplementedError

    async def tokens(self, person: str, now_ms: int) -> list[Credential]:
        """A person's current personal tokens, newest first."""
        raise NotImplementedError

    async def end(self, credential: str, person: str, actor: Actor, now_ms: int) -> bool:
        """End a person's sign-in or token; False if it had ended before. Raises `NotFound` if it is not theirs."""
        raise NotImplementedError

    async def clean(self, before_ms: int) -> int:
        """Forget sign-ins and tokens that ended or expired before `before_ms`; the answer is how many."""
        raise NotImplementedError
