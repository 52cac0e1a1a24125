"""Lists, makes and revokes workspace keys and personal tokens."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from relay import errors
from relay.registry import Actor, Credential, Key
from relay.rules import tokens
from relay.rules.fields import Id
from relay.rules.machine import iso
from relay.web.answers import moment
from relay.web.bodies import Answer, Body, Moment, Query, Title, answer, printable
from relay.web.call import Ask, Call
from relay.web.signin import DAY_MS

Days = Annotated[int, Meta(ge=1, le=3_650)]  # ten years; longer is better said with none at all


class MakeToken(Body):
    """What it is for, and when it ends by itself, if ever."""

    name: Title
    expires_in_days: Days | None = None


class KeyAnswer(Answer):
    """A workspace key; its token is never shown again."""

    id: Id
    name: str
    created_at: Moment
    created_by: str
    expires_at: Moment | None


class NewKey(KeyAnswer):
    """A new workspace key with its token, which is told only now."""

    token: str


class Keys(Answer):
    """Workspace keys, newest first."""

    keys: list[KeyAnswer]


class RevokeKey(Query):
    """Whether machines that were registered with the key go with it."""

    machines: bool = False


class KeyRevokedAnswer(Answer):
    """The key that ended, and the machines that were revoked with it."""

    id: Id
    revoked_machines: list[Id]


class TokenAnswer(Answer):
    """A personal token; it is never shown again."""

    id: Id
    name: str
    created_at: Moment
    expires_at: Moment | None


class NewToken(TokenAnswer):
    """A new personal token, told only now."""

    token: str


class Tokens(Answer):
    """Personal tokens, newest first."""

    tokens: list[TokenAnswer]


class Ended(Answer):
    """The credential that is worthless now."""

    id: Id


async def list_keys(ask: Ask) -> Response:
    """The keys of a workspace."""
    workspace = ask.id("workspace")
    ask.allowed("keys", workspace)
    found = await ask.parts.registry.keys.list(workspace, ask.parts.clock())
    return answer(Keys(keys=[_key(KeyAnswer, each) for each in found]))


async def create_key(ask: Ask) -> Response:
    """A key for machines and scripts of the workspace."""
    body: MakeToken = ask.body
    parts, workspace = ask.parts, ask.id("workspace")
    ask.allowed("keys", workspace)
    token, now_ms = tokens.make("team", parts.randomness(tokens.RANDOM_BYTES)), parts.clock()
    made = await parts.registry.keys.create(
        workspace,
        parts.secrets.hash(token),
        printable(body.name),
        _expires(body, now_ms),
        Actor.of(ask.identity),
        now_ms,
    )
    return answer(_key(NewKey, made, token=token), 201)


async def revoke_key(ask: Ask) -> Response:
    """The key ends; its machines stay unless asked."""
    query: RevokeKey = ask.query
    parts, workspace, id = ask.parts, ask.id("workspace"), ask.id("key")
    ask.allowed("keys", workspace)
    done = await parts.registry.keys.revoke(
        workspace, id, Actor.of(ask.identity), parts.clock(), machines=query.machines
    )
    return answer(KeyRevokedAnswer(id=id, revoked_machines=done.machines))


async def list_tokens(ask: Ask) -> Response:
    """The asker's personal tokens."""
    found = await ask.parts.registry.credentials.tokens(ask.person, ask.parts.clock())
    return answer(Tokens(tokens=[_token(TokenAnswer, each) for each in found]))


async def create_token(ask: Ask) -> Response:
    """A token for the asker's scripts and machines."""
    body: MakeToken = ask.body
    parts = ask.parts
    token, now_ms = tokens.make("pat", parts.randomness(tokens.RANDOM_BYTES)), parts.clock()
    made = await parts.registry.credentials.create_token(
        ask.person,
        parts.secrets.hash(token),
        printable(body.name),
        _expires(body, now_ms),
        Actor.of(ask.identity),
        now_ms,
    )
    return answer(_token(NewToken, made, token=token), 201)


async def revoke_token(ask: Ask) -> Response:
    """The token ends; so does a sign-in of the asker, named by its id."""
    parts, id = ask.parts, ask.id("token")
    await parts.registry.credentials.end(id, ask.person, Actor.of(ask.identity), parts.clock())
    return answer(Ended(id=id))


def _expires(body: MakeToken, now_ms: int) -> int | None:
    return None if body.expires_in_days is None else now_ms + body.expires_in_days * DAY_MS


def _key(kind: type[KeyAnswer], made: Key, **more: str) -> KeyAnswer:
    return kind(
        id=made.id,
        name=made.name,
        created_at=iso(made.created_ms),
        created_by=made.created_by,
        expires_at=moment(made.expires_ms),
        **more,
    )


def _token(kind: type[TokenAnswer], made: Credential, **more: str) -> TokenAnswer:
    return kind(id=made.id, name=made.name, created_at=iso(made.created_ms), expires_at=moment(made.expires_ms), **more)


CALLS = (
    Call(
        method="GET",
        path="/api/workspaces/{workspace}/keys",
        does="Lists a workspace's keys.",
        handle=list_keys,
        answer=Keys,
        errors=(errors.Forbidden,),
    ),
    Call(
        method="POST",
        path="/api/workspaces/{workspace}/keys",
        does="Makes a workspace key, which acts as a member that owns nothing; its token is told once.",
        handle=create_key,
        answer=NewKey,
        body=MakeToken,
        errors=(errors.LimitReached,),
        statuses=(201,),
    ),
    Call(
        method="DELETE",
        path="/api/workspaces/{workspace}/keys/{key}",
        does="Revokes a workspace key; the machines registered with it stay unless `machines=true`.",
        handle=revoke_key,
        answer=KeyRevokedAnswer,
        query=RevokeKey,
        changes=True,
    ),
    Call(
        method="GET",
        path="/api/tokens",
        does="Lists your personal tokens.",
        handle=list_tokens,
        answer=Tokens,
        asker="person",
    ),
    Call(
        method="POST",
        path="/api/tokens",
        does="Makes a personal token, which may outlive your sign-in; it is told once.",
        handle=create_token,
        answer=NewToken,
        body=MakeToken,
        asker="person",
        statuses=(201,),
    ),
    Call(
        method="DELETE",
        path="/api/tokens/{token}",
        does="Revokes a personal token, or ends one of your sign-ins.",
        handle=revoke_token,
        answer=Ended,
        asker="person",
        changes=True,
    ),
)
