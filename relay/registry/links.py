"""Keeps one-time links, as hashes: sign-in links for people who are known, invitations for those who are not yet."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from relay.registry.audit import Actor
from relay.registry.credentials import Credential, NewSignIn
from relay.registry.database import Database
from relay.registry.people import Person
from relay.rules.access import Role


class Invitation(Struct, frozen=True, kw_only=True):
    """An invitation that nobody has used yet."""

    id: str
    workspace: str
    role: Role
    name: str  # who it is meant for, as the inviter wrote it; may be empty
    created_ms: int
    expires_ms: int


class SignedIn(Struct, frozen=True, kw_only=True):
    """Who used a link, and the sign-in it made (None where no new one was asked for)."""

    person: Person
    credential: Credential | None
    workspace: str | None = None  # an invitation's


class Links:
    """All one-time links."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_sign_in(self, person: str, hash: str, expires_ms: int, actor: Actor, now_ms: int) -> str:
        """Store a sign-in link for a person and answer its id; raises `NotFound` for an unknown person."""
        raise NotImplementedError

    async def create_invitation(
        self, workspace: str, role: Role, name: str, hash: str, expires_ms: int, actor: Actor, now_ms: int
    ) -> Invitation:
        """Store an invitation into a workspace; raises `NotFound` for an unknown workspace."""
        raise NotImplementedError

    async def invitations(self, workspace: str, now_ms: int) -> list[Invitation]:
        """A workspace's open invitations, newest first."""
        raise NotImplementedError

    async def withdraw(self, workspace: str, invitation: str, actor: Actor, now_ms: int) -> None:
        """Make an invitation worthless; again is harmless. Raises `NotFound`."""
        raise NotImplementedError

    async def use_sign_in(
        self, hashes: Sequence[str], sign_in: NewSignIn, now_ms: int, name: str | None = None
    ) -> SignedIn:
        """Use a sign-in link, once, and store the sign-in in the same transaction; `name` renames the person. Raises
        `BadToken` for an unknown link, `Gone` for one that is used or expired."""
        raise NotImplementedError

    async def accept(
        self, hashes: Sequence[str], who: str | Person, sign_in: NewSignIn | None, now_ms: int
    ) -> SignedIn:
        """Use an invitation, once: a `Person` who is signed in joins, a name becomes a new person. Raises `BadToken`
        and `Gone` as above, `Conflict` for somebody who is a member already (the invitation stays good)."""
        raise NotImplementedError

    async def clean(self, before_ms: int) -> int:
        """Forget links that were used or expired before `before_ms`; the answer is how many."""
        raise NotImplementedError
