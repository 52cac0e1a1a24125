"""Keeps sign-ins and personal tokens as hashes, and finds who is behind any credential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from relay.errors import NotFound
from relay.registry import people
from relay.registry.audit import Actor
from relay.registry.database import Database
from relay.registry.tables import credentials, members, workspaces
from relay.registry.tables import people as people_table
from relay.registry.writing import Write, commit
from relay.rules.access import Identity

SIGN_INS = ("web", "cli")
TOKENS = ("pat",)


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
        wanted = (
            select(
                credentials.c.id,
                credentials.c.kind,
                credentials.c.name,
                credentials.c.person,
                credentials.c.expires_ms,
                people_table.c.name.label("person_name"),
                members.c.role,
                workspaces.c.id.label("workspace"),
                workspaces.c.name.label("workspace_name"),
            )
            .outerjoin(people_table, people_table.c.id == credentials.c.person)
            .outerjoin(members, members.c.person == credentials.c.person)
            .outerjoin(workspaces, workspaces.c.id == func.coalesce(members.c.workspace, credentials.c.workspace))
            .where(credentials.c.hash.in_(hashes), is_current(now_ms))
        )
        rows = await self._database.rows(wanted)
        return _identity(rows) if rows else None

    async def sign_in(self, person: str, sign_in: NewSignIn, now_ms: int) -> Credential:
        """Store a sign-in of a person (device flow); raises `NotFound` for an unknown person."""

        async def work(write: Write) -> Credential:
            return await add_sign_in(write, person, sign_in)

        return await commit(self._database, Actor("person", person, ""), now_ms, work)

    async def create_token(
        self, person: str, hash: str, name: str, expires_ms: int | None, actor: Actor, now_ms: int
    ) -> Credential:
        """Store a personal token; it may outlive the sign-in that made it."""

        async def work(write: Write) -> Credential:
            found = await people.find(write.connection, person)
            token = Credential(
                id=str(uuid4()), kind="pat", person=found.id, name=name, created_ms=now_ms, expires_ms=expires_ms
            )
            await _add(write, token, hash)
            write.note("token.created", None, token.id, name=name)
            return token

        return await commit(self._database, actor, now_ms, work)

    async def sign_ins(self, person: str, now_ms: int) -> list[Credential]:
        """A person's current browsers and CLIs, newest first."""
        return await self._of(person, SIGN_INS, now_ms)

    async def tokens(self, person: str, now_ms: int) -> list[Credential]:
        """A person's current personal tokens, newest first."""
        return await self._of(person, TOKENS, now_ms)

    async def end(self, credential: str, person: str, actor: Actor, now_ms: int) -> bool:
        """End a person's sign-in or token; False if it had ended before. Raises `NotFound` if it is not theirs."""
        theirs = and_(credentials.c.id == credential, credentials.c.person == person)

        async def work(write: Write) -> bool:
            row = (await write.connection.execute(select(credentials).where(theirs).with_for_update())).one_or_none()
            if row is None:
                raise NotFound("no such sign-in or token")
            if row.ended_ms is not None:
                return False
            await write.connection.execute(update(credentials).where(theirs).values(ended_ms=now_ms))
            write.change("credential", None, credential, "ended")
            write.note("token.revoked" if row.kind in TOKENS else "sign-in.ended", None, credential, name=row.name)
            return True

        return await commit(self._database, actor, now_ms, work)

    async def clean(self, before_ms: int) -> int:
        """Forget sign-ins and tokens that ended or expired before `before_ms`; the answer is how many."""
        over = or_(credentials.c.ended_ms < before_ms, credentials.c.expires_ms < before_ms)
        forgetting = delete(credentials).where(credentials.c.person.is_not(None), over)
        return await self._database.erase(forgetting)

    async def _of(self, person: str, kinds: Sequence[str], now_ms: int) -> list[Credential]:
        wanted = (
            select(credentials)
            .where(credentials.c.person == person, credentials.c.kind.in_(kinds), is_current(now_ms))
            .order_by(credentials.c.created_ms.desc(), credentials.c.id)
        )
        rows = await self._database.rows(wanted)
        return [
            Credential(
                id=row.id,
                kind=row.kind,
                person=row.person,
                name=row.name,
                created_ms=row.created_ms,
                expires_ms=row.expires_ms,
            )
            for row in rows
        ]


def is_current(now_ms: int) -> ColumnElement[bool]:
    """Neither ended nor expired."""
    return and_(
        credentials.c.ended_ms.is_(None),
        or_(credentials.c.expires_ms.is_(None), credentials.c.expires_ms > now_ms),
    )


async def add_sign_in(write: Write, person: str, sign_in: NewSignIn) -> Credential:
    """Store a sign-in inside somebody's transaction; raises `NotFound` for an unknown person."""
    found = await people.find(write.connection, person)
    write.actor = Actor("person", found.id, found.name)
    credential = Credential(
        id=str(uuid4()),
        kind=sign_in.kind,
        person=found.id,
        name=sign_in.name,
        created_ms=write.now_ms,
        expires_ms=sign_in.expires_ms,
    )
    await _add(write, credential, sign_in.hash)
    write.note("sign-in.created", None, credential.id, name=sign_in.name)
    return credential


async def _add(write: Write, credential: Credential, hash: str) -> None:
    await write.connection.execute(
        insert(credentials).values(
            id=credential.id,
            kind=credential.kind,
            hash=hash,
            person=credential.person,
            name=credential.name,
            created_by=write.actor.name,
            created_ms=credential.created_ms,
            expires_ms=credential.expires_ms,
        )
    )


def _identity(rows: Sequence[Any]) -> Identity:
    first = rows[0]
    belonging = [row for row in rows if row.workspace is not None]
    workspaces = {row.workspace: row.workspace_name for row in belonging}
    ends_ms = first.expires_ms
    if first.person is None:
        return Identity("key", first.id, first.name, first.id, dict.fromkeys(workspaces, "member"), workspaces, ends_ms)
    roles = {row.workspace: row.role for row in belonging}
    return Identity("person", first.person, first.person_name, first.id, roles, workspaces, ends_ms)
