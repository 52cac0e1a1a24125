"""Keeps one-time links, as hashes: sign-in links for people who are known, invitations for those who are not yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import delete, insert, or_, select, update

from relay.errors import BadToken, Conflict, Gone, LimitReached, NotFound
from relay.registry import people
from relay.registry.audit import SYSTEM, Actor
from relay.registry.credentials import Credential, NewSignIn, add_sign_in
from relay.registry.database import Database
from relay.registry.people import Person
from relay.registry.tables import links, members
from relay.registry.writing import Write, commit
from relay.rules import limits
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

        async def work(write: Write) -> str:
            found = await people.find(write.connection, person)
            id = str(uuid4())
            row = {"id": id, "kind": "sign-in", "hash": hash, "person": person, "name": found.name}
            await write.connection.execute(insert(links).values(created_ms=now_ms, expires_ms=expires_ms, **row))
            write.note("sign-in-link.created", None, person, name=found.name)
            return id

        return await commit(self._database, actor, now_ms, work)

    async def create_invitation(
        self, workspace: str, role: Role, name: str, hash: str, expires_ms: int, actor: Actor, now_ms: int
    ) -> Invitation:
        """Store an invitation into a workspace; raises `NotFound` for an unknown workspace."""
        invitation = Invitation(
            id=str(uuid4()), workspace=workspace, role=role, name=name, created_ms=now_ms, expires_ms=expires_ms
        )

        async def work(write: Write) -> Invitation:
            await write.lock_workspace(workspace)
            row = msgspec.structs.asdict(invitation)
            await write.connection.execute(insert(links).values(kind="invitation", hash=hash, **row))
            write.note("invitation.created", workspace, invitation.id, name=name, role=role)
            return invitation

        return await commit(self._database, actor, now_ms, work)

    async def invitations(self, workspace: str, now_ms: int) -> list[Invitation]:
        """A workspace's open invitations, newest first."""
        wanted = (
            select(links)
            .where(links.c.workspace == workspace, links.c.used_ms.is_(None), links.c.expires_ms > now_ms)
            .order_by(links.c.created_ms.desc(), links.c.id)
        )
        rows = await self._database.rows(wanted)
        return [
            Invitation(
                id=row.id,
                workspace=row.workspace,
                role=row.role,
                name=row.name,
                created_ms=row.created_ms,
                expires_ms=row.expires_ms,
            )
            for row in rows
        ]

    async def withdraw(self, workspace: str, invitation: str, actor: Actor, now_ms: int) -> None:
        """Make an invitation worthless; again is harmless. Raises `NotFound`."""

        async def work(write: Write) -> None:
            this = (links.c.id == invitation, links.c.workspace == workspace)
            row = (await write.connection.execute(select(links).where(*this).with_for_update())).one_or_none()
            if row is None:
                raise NotFound("no such invitation")
            if row.used_ms is None:
                await write.connection.execute(update(links).where(*this).values(used_ms=now_ms))
                write.note("invitation.withdrawn", workspace, invitation, name=row.name)

        await commit(self._database, actor, now_ms, work)

    async def use_sign_in(
        self, hashes: Sequence[str], sign_in: NewSignIn, now_ms: int, name: str | None = None
    ) -> SignedIn:
        """Use a sign-in link, once, and store the sign-in in the same transaction; `name` renames the person. Raises
        `BadToken` for an unknown link, `Gone` for one that is used or expired."""

        async def work(write: Write) -> SignedIn:
            link = await _use(write, "sign-in", hashes)
            credential = await add_sign_in(write, link.person, sign_in)
            person = await people.find(write.connection, link.person)
            if name is not None and name != person.name:
                person = await people.rename(write, person.id, name)
            return SignedIn(person=person, credential=credential)

        return await commit(self._database, SYSTEM, now_ms, work)

    async def accept(
        self, hashes: Sequence[str], who: str | Person, sign_in: NewSignIn | None, now_ms: int
    ) -> SignedIn:
        """Use an invitation, once: a `Person` who is signed in joins, a name becomes a new person. Raises `BadToken`
        and `Gone` as above, `Conflict` for somebody who is a member already (the invitation stays good)."""

        async def work(write: Write) -> SignedIn:
            link = await _use(write, "invitation", hashes)
            person = who if isinstance(who, Person) else await people.add(write.connection, who, now_ms)
            write.actor = Actor("person", person.id, person.name)
            await _join(write, link, person)
            credential = None if sign_in is None else await add_sign_in(write, person.id, sign_in)
            return SignedIn(person=person, credential=credential, workspace=link.workspace)

        return await commit(self._database, SYSTEM, now_ms, work)

    async def clean(self, before_ms: int) -> int:
        """Forget links that were used or expired before `before_ms`; the answer is how many."""
        over = or_(links.c.used_ms < before_ms, links.c.expires_ms < before_ms)
        return await self._database.erase(delete(links).where(over))


async def _use(write: Write, kind: str, hashes: Sequence[str]) -> Any:
    """The link's row, used up; of two who come at once, one waits here and then finds it used."""
    wanted = select(links).where(links.c.kind == kind, links.c.hash.in_(hashes)).with_for_update()
    row = (await write.connection.execute(wanted)).one_or_none()
    if row is None:
        raise BadToken("this link is not known here")
    if row.used_ms is not None:
        raise Gone("this link was used already")
    if row.expires_ms <= write.now_ms:
        raise Gone("the time of this link is over")
    await write.connection.execute(update(links).where(links.c.id == row.id).values(used_ms=write.now_ms))
    return row


async def _join(write: Write, link: Any, person: Person) -> None:
    await write.lock_workspace(link.workspace)
    await people.find(write.connection, person.id)
    theirs = select(members.c.workspace).where(members.c.person == person.id)
    belongs = list(await write.connection.scalars(theirs))
    if link.workspace in belongs:
        raise Conflict("you belong to this workspace already")
    if len(belongs) >= limits.WORKSPACES_PER_PERSON:
        raise LimitReached(
            f"a person has at most {limits.WORKSPACES_PER_PERSON} workspaces", limit="WORKSPACES_PER_PERSON"
        )
    await write.connection.execute(
        insert(members).values(workspace=link.workspace, person=person.id, role=link.role, joined_ms=write.now_ms)
    )
    write.change("member", link.workspace, person.id, "joined", role=link.role)
    write.note("member.joined", link.workspace, person.id, name=person.name, role=link.role)
